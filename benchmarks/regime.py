"""What the regime's diagnostics say of the photo sets, and what training more than the head gains on each.

    python -m benchmarks.regime [--sets bears,aerial,openverse,drawn] [--gains] [--keep DIR]

This is what the thresholds of training/regime.py rest on. Each set is shown whole, and cut to fewer pictures per class.
With `--gains` fine-tuning of one and of two stages is compared with the head by grouped cross-validation, which takes
minutes: a threshold lies well between the sets where opening stages gains and those where it does not.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.photo_sets import PhotoSet, collect
from training.backbone import load_backbone
from training.device import choose_device
from training.features import Extractor
from training.recipe import Recipe, TrainingSet
from training.regime import THRESHOLDS, decide, diagnose
from workspace.progress import SILENT

BACKBONE = "efficientnet_lite0"

SIZES = (10, 20, 40, 10_000)
"""Pictures per class to which the sets are cut."""


def main() -> None:
    """Print a line per set and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="bears,aerial,openverse,drawn")
    parser.add_argument("--gains", action="store_true", help="also fine-tune, on the whole sets")
    parser.add_argument("--keep", type=Path, help="folder that remembers collections and features")
    given = parser.parse_args()
    print(THRESHOLDS)
    print("set         per class   LP4 (s.e.)     LP3     LP2    kNN   ImageNet head   doubling   regime")
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.sets.split(","):
            photos = collect(name, given.keep or Path(scratch), BACKBONE)
            backbone, _ = load_backbone(photos.config.train, 0)
            extractor = Extractor(photos.workspace, photos.config, backbone, choose_device("cpu"))
            extractor.extract_clean(photos.keys, SILENT)
            for size in SIZES:
                show(photos, extractor, first(photos.labels, size))
                if size > len(photos.labels):
                    break
            if given.gains:
                gains(photos)


def first(labels: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """The rows of the first so many pictures of each class."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:size] for label in np.unique(labels)]))


def show(photos: PhotoSet, extractor: Extractor, rows: npt.NDArray[np.int64]) -> None:
    """One line: the diagnosis of these rows."""
    keys, backbone = [photos.keys[row] for row in rows], load_backbone(photos.config.train, 0)[0]
    pooled, source = extractor.pooled(keys), backbone.source_logits(extractor.features.get(keys))
    found = diagnose(pooled, photos.labels[rows], photos.groups[rows], source, 0)
    if found is None:
        print(f"{photos.name:10}  a class has a single group")
        return
    probes = found.probes
    print(
        f"{photos.name:10}  {found.per_class:9}   {probes['layer4']:.3f} ({found.probe_errors['layer4']:.3f})  "
        f"{probes['layer3']:.3f}   {probes['layer2']:.3f}  {found.neighbour:.3f}  {found.source_head:14.3f}  "
        f"{found.doubling_gain:+9.3f}   {decide(found).regime.value}",
        flush=True,
    )


def gains(photos: PhotoSet) -> None:
    """What opening one stage, two, and all of them changes on the whole set."""
    for regime in ("head-first", "late-stages"):
        train = photos.config.train.model_copy(update={"regime": regime})
        config = photos.config.model_copy(update={"train": train})
        backbone, _ = load_backbone(train, 0)
        device = choose_device("cpu")
        with tempfile.TemporaryDirectory() as scratch:
            extractor = Extractor(photos.workspace, config, backbone, device)
            extractor.extract_clean(photos.keys, SILENT)
            pictures = TrainingSet(photos.keys, photos.labels, photos.groups, len(photos.classes))
            outcome = Recipe(pictures, config, extractor, backbone, device, Path(scratch)).learn(SILENT)
        print(f"            {regime}: kept the {outcome.chosen}: {outcome.why}", flush=True)


if __name__ == "__main__":
    main()
