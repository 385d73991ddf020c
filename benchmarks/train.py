"""Balanced accuracy and seconds of this project's training against a linear probe, fastai and plain SGD.

    python -m benchmarks.train [--sets photos/bears,drawn] [--seeds 5] [--methods "this project,linear probe"]
                               [--keep DIR] [--again METHODS]

Everybody gets the same pixels, the same ImageNet weights of efficientnet_lite0 and the same split: seed k tests on the
k-th of five grouped folds, so that after five seeds every picture has been tested once. Differences are paired by
picture; their standard error is over groups. Seconds are of training alone, from cached pixels to the model; for this
project they hold features, cross-validation and the guard too. `--keep` remembers every answer, so that a long
comparison can be made in pieces; `--again` measures methods anew.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.support.photo_sets import FOLDS, SETS_HELP, PhotoSet, collect
from benchmarks.support.rivals import METHODS, Answer
from training.stats.fold_comparison import compare
from training.stats.scores import balanced_accuracy

OURS = "this project"

BACKBONE = "efficientnet_lite0"


def main() -> None:
    """Measure what is not known yet, and print a table per set and one over all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="drawn", help=SETS_HELP)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default=str(FOLDS), help="how many, at most 5; or one alone: =2")
    parser.add_argument("--keep", type=Path, help="folder that remembers collections and answers")
    parser.add_argument("--again", default="", help="methods whose remembered answers are forgotten")
    given = parser.parse_args()
    methods = given.methods.split(",")
    if unknown := [name for name in [*methods, *filter(None, given.again.split(","))] if name not in METHODS]:
        raise SystemExit(f"there is no method {unknown[0]!r}; known are {', '.join(METHODS)}")
    seeds = [int(given.seeds[1:])] if given.seeds.startswith("=") else list(range(int(given.seeds)))
    with tempfile.TemporaryDirectory() as scratch:
        root = given.keep or Path(scratch)
        sets = [collect(name, root, BACKBONE) for name in given.sets.split(",")]
        answers = {
            (photos.name, method, seed): answer(photos, method, seed, root, given.again.split(","))
            for photos in sets
            for method in methods
            for seed in seeds
        }
    for photos in sets:
        print_set(photos, methods, seeds, {key[1:]: value for key, value in answers.items() if key[0] == photos.name})


def answer(photos: PhotoSet, method: str, seed: int, root: Path, again: Sequence[str]) -> Answer:
    """What a method answers to the fold of this seed; from `root` where it is remembered."""
    name = f"{photos.name}-{''.join(c if c.isalnum() else '-' for c in method)}-{seed}.npz"
    path = root / "answers" / name
    if path.is_file() and method not in again:
        with np.load(path) as found:
            return found["logits"], float(found["seconds"]), str(found["kept"])
    train, test = np.flatnonzero(photos.fold != seed), np.flatnonzero(photos.fold == seed)
    logits, seconds, kept = METHODS[method](photos, train, test, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, logits=logits, seconds=seconds, kept=kept)
    accuracy = balanced_accuracy(logits, photos.labels[test])
    print(f"{photos.name:10} seed {seed}  {method:20}  {accuracy:.3f}  {seconds:6.1f} s  {kept}", flush=True)
    return logits, seconds, kept


def print_set(
    photos: PhotoSet, methods: Sequence[str], seeds: Sequence[int], answers: dict[tuple[str, int], Answer]
) -> None:
    """One line per method: balanced accuracy over all seeds' pictures, this project's lead over it, and seconds."""
    rows = np.concatenate([np.flatnonzero(photos.fold == seed) for seed in seeds])
    labels, groups = photos.labels[rows], photos.groups[rows]
    pooled = {name: np.concatenate([answers[name, seed][0] for seed in seeds]) for name in methods}
    size = int((photos.fold != 0).sum())
    print(f"\n{photos.name}: {len(photos.classes)} classes, {size} pictures to learn from, {len(rows)} tested")
    print("method                 balanced accuracy   this project's lead (s.e.)   median seconds   kept")
    for name in methods:
        seconds = np.median([answers[name, seed][1] for seed in seeds])
        kept = " ".join(answers[name, seed][2] for seed in seeds)
        lead = ""
        if OURS in methods and name != OURS:
            done = compare(pooled[name], pooled[OURS], labels, groups)
            lead = f"{done.difference:+.3f} ({done.standard_error:.3f})"
        print(f"{name:20}   {balanced_accuracy(pooled[name], labels):17.3f}   {lead:>26}   {seconds:14.1f}   {kept}")


if __name__ == "__main__":
    main()
