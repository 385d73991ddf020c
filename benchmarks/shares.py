"""How the share of the fine-tuned copy is best chosen: by leaving one photo set out.

    python -m benchmarks.shares --keep DIR [--backbones efficientnet_lite0]

`python -m benchmarks.train --keep DIR` has left there what the head and the copy answered to the test pictures and to
the held-out ones. For each usual share and pull of training/fit/choice.py the held-out pictures choose a share, which
is scored on the test pictures. Then the pair is chosen on all sets but one, and scored on that one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.support.photo_sets import FOLDS
from benchmarks.train import OURS, file_name
from training.fit.choice import PULL, USUAL_SHARE, averaged, choose_share
from training.stats.scores import balanced_accuracy, log_loss, softmax

USUAL, PULLS = (0.25, 1 / 3, 0.4, 0.5, 0.6), (25.0, 50.0, 100.0, 200.0, 1e9)
"""The pairs that are tried; a pull of 1e9 leaves the usual share as it is."""

Pair = tuple[float, float]
Scores = Mapping[Pair, tuple[float, float]]


def main() -> None:
    """Print the mean over sets by pair, and what leaving one set out chooses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="the folder of benchmarks.train")
    parser.add_argument("--backbones", default="efficientnet_lite0", help="parted by commas")
    given = parser.parse_args()
    for backbone in given.backbones.split(","):
        by_set = scores_of(given.keep / "answers" / backbone)
        if len(by_set) < 2:
            raise SystemExit(f"{given.keep} has answers of {len(by_set)} sets with a copy by {backbone}; needed are 2")
        print(f"\n# {backbone}: {len(by_set)} sets\nusual share     pull   balanced accuracy   log-loss")
        for pair, (accuracy, loss) in average(by_set.values()).items():
            now = "   as shipped" if pair == (USUAL_SHARE, PULL) else ""
            print(f"{pair[0]:11.2f}  {pair[1]:7.3g}   {accuracy:17.4f}   {loss:8.4f}{now}")
        left_out(by_set)


def scores_of(folder: Path) -> dict[str, Scores]:
    """By set: balanced accuracy and log-loss on the test of each pair, the mean over the folds that are there."""
    found: dict[str, list[Scores]] = {}
    for seed in range(FOLDS):
        pattern = file_name("*", OURS, seed)
        for path in sorted(folder.glob(pattern)):
            with np.load(path) as kept:
                if "tuned" in kept.files:
                    found.setdefault(path.name.removesuffix(pattern[1:]), []).append(one_fold(dict(kept)))
    return {name: average(folds) for name, folds in found.items()}


def one_fold(kept: Mapping[str, np.ndarray]) -> Scores:
    """Each pair's scores on one fold's test, with the share that its held-out pictures choose."""
    head, tuned, labels = (kept[f"held_out_{name}"] for name in ("head", "tuned", "labels"))
    scores = {}
    for usual, pull in product(USUAL, PULLS):
        logits = averaged(kept["head"], kept["tuned"], choose_share(head, tuned, labels, usual, pull))
        scores[usual, pull] = balanced_accuracy(logits, kept["labels"]), log_loss(softmax(logits), kept["labels"])
    return scores


def average(scores: Iterable[Scores]) -> Scores:
    """The mean of several scores, pair by pair."""
    every = list(scores)
    return {pair: tuple(np.mean([one[pair] for one in every], axis=0)) for pair in every[0]}


def left_out(by_set: Mapping[str, Scores]) -> None:
    """Choose a pair on all sets but one, by accuracy and then log-loss, and show its score on that one."""
    print("set left out   chosen share and pull   balanced accuracy   as shipped")
    scores = []
    for name in by_set:
        others = average(value for key, value in by_set.items() if key != name)
        best = max(others, key=lambda pair: (others[pair][0], -others[pair][1]))
        shipped = by_set[name].get((USUAL_SHARE, PULL), (float("nan"), 0.0))[0]
        scores.append((by_set[name][best][0], shipped))
        print(f"{name:12}   {best[0]:12.2f} {best[1]:8.3g}   {scores[-1][0]:17.3f}   {shipped:10.3f}")
    print(f"mean           {np.mean([s[0] for s in scores]):39.4f}   {np.mean([s[1] for s in scores]):10.4f}")


if __name__ == "__main__":
    main()
