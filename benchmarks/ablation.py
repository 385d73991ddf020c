"""What each part of the recipe adds: grouped five-fold balanced accuracy with it and without, on the photo sets.

    python -m benchmarks.ablation [--sets photos/bears,stamps,icons] [--only "head;last half"] [--keep DIR]

Every variant answers pictures by a model that never saw their fold. The mean of the head and the fine-tuned copy is
compared, unguarded, with the head alone, on the fold that fine-tuning left out, paired by picture; the standard error
is over groups. Seconds are of the whole training.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support.photo_sets import SETS_HELP, PhotoSet, collect
from benchmarks.support.rivals import learn

BACKBONE = "efficientnet_lite0"

HALF: Mapping[str, Any] = {"regime": "head-first", "guard": False}

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "head, last stage alone": {"epochs": 0, "head_stages": 1},
    "head": {"epochs": 0},
    "last half": HALF,
    "last half, a tenth of the head's rate": {**HALF, "backbone_lr": 0.001},
    "last half, earlier stages slower": {**HALF, "stage_decay": 0.5},
    "last half, batch norm only": {**HALF, "batch_norm_only": True, "backbone_lr": 0.01},
    "last half, eight epochs": {**HALF, "epochs": 8},
    "last half, mixup": {**HALF, "mixup": 0.4},
    "last half, label smoothing": {**HALF, "label_smoothing": 0.1},
    "every stage": {"regime": "all-layers", "guard": False},
}


def main() -> None:
    """Print a line per set and variant, as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="drawn,stamps,icons", help=SETS_HELP)
    parser.add_argument("--only", default=";".join(VARIANTS), help="variants, parted by semicolons")
    parser.add_argument("--keep", type=Path, help="folder that remembers collections")
    given = parser.parse_args()
    names = given.only.split(";")
    if unknown := [name for name in names if name not in VARIANTS]:
        raise SystemExit(f"there is no variant {unknown[0]!r}; known are {'; '.join(VARIANTS)}")
    print("set         variant                                  head   with the copy   difference (s.e.)   seconds")
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.sets.split(","):
            photos = collect(name, given.keep or Path(scratch), BACKBONE)
            for variant in names:
                show(photos, variant)


def show(photos: PhotoSet, variant: str) -> None:
    """One line: a variant on a whole set, from cached pixels and an empty cache of features."""
    train = photos.config.train.model_copy(update=dict(VARIANTS[variant]))
    config = photos.config.model_copy(update={"train": train})
    outcome, _, seconds = learn(photos, np.arange(len(photos.keys)), config)
    head, guard = outcome.history.head, outcome.history.guard
    found = ""
    if guard:
        found = f"{guard.finetuned:10.3f}   {guard.difference:+.3f} ({guard.standard_error:.3f})"
    print(f"{photos.name:10}  {variant:40} {head.val_accuracy:.3f}   {found:30} {seconds:7.0f}", flush=True)


if __name__ == "__main__":
    main()
