"""What the regime's diagnostics say of the photo sets.

    python -m benchmarks.regime [--sets photos/bears,drawn] [--keep DIR]

The thresholds of training/fit/regime.py rest on this, with `python -m benchmarks.ablation`, which says what opening
stages gains on each set. Each is shown whole, and cut to fewer pictures per class.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.support.photo_sets import SETS_HELP, PhotoSet, collect
from training.fit.diagnostics import diagnose
from training.fit.regime import THRESHOLDS, decide_regime
from training.network.backbone import load_backbone
from training.network.device import choose_device
from training.network.features import Extractor
from workspace.progress import SILENT

BACKBONE = "efficientnet_lite0"

SIZES = (10, 20, 40, 10_000)
"""Pictures per class to which the sets are cut."""


def main() -> None:
    """Print a line per set and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="drawn", help=SETS_HELP)
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
        f"{found.doubling_gain:+9.3f}   {decide_regime(found).regime.value}",
        flush=True,
    )


if __name__ == "__main__":
    main()
