"""How much of a stage's mean deviation the head's features are divided by, beside their own: by leaving one set out.

    python -m benchmarks.head [--sets photos/bears,photos/aerial] [--backbones efficientnet_lite0] [--keep DIR]

Heads with several values of FLOOR (training/stats/scaling.py) answer every image of each of five folds, having learnt
from the others; 0 is plain standardisation. Each value is then chosen on all sets but one, and scored on that one.
Nothing is fine-tuned, so that this takes minutes; `--keep` remembers collections and features.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.ablation import left_out_choice
from benchmarks.support.photo_sets import SETS_HELP, PhotoSet, collect
from benchmarks.train import BACKBONES, with_backbone
from training.fit.head import cross_validate
from training.network.backbone import load_backbone
from training.network.device import choose_device
from training.network.features import Extractor
from training.stats.scaling import FLOOR
from training.stats.scores import Floats, balanced_accuracy, log_losses
from workspace.progress import SILENT

FLOORS = (0.0, 0.2, 0.35, 0.5, 0.7, 1.0, 2.0)


def main() -> None:
    """Print accuracy, log-loss and the largest logit by set and floor, and what leaving one set out chooses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="drawn,stamps,icons", help=SETS_HELP)
    parser.add_argument("--backbones", default="efficientnet_lite0", help=", ".join(BACKBONES))
    parser.add_argument("--keep", type=Path, help="folder that remembers collections and features")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sets = [collect(name, given.keep or Path(scratch), "efficientnet_lite0") for name in given.sets.split(",")]
        for backbone in given.backbones.split(","):
            print(f"\n# {backbone}: balanced accuracy, log-loss, largest logit by floor")
            print(f"{'':12}" + "".join(f"{floor:>20g}" for floor in FLOORS))
            table = [scores_of(with_backbone(photos, backbone, "cpu")) for photos in sets]
            print_table([photos.name for photos in sets], np.array(table))


def scores_of(photos: PhotoSet) -> Floats:
    """Held-out balanced accuracy, mean log-loss and largest logit of a set by floor, [floors, 3]."""
    backbone, _ = load_backbone(photos.config.train, photos.config.seed)
    extractor = Extractor(photos.workspace, photos.config, backbone, choose_device("cpu"))
    extractor.extract_clean(photos.keys, SILENT)
    features, rows = extractor.head_features(photos.keys), []
    for floor in FLOORS:
        with mock.patch("training.stats.scaling.FLOOR", floor):
            held_out = cross_validate(features, photos.labels, photos.fold, len(photos.classes), backbone.blocks)
        logits = held_out.logits
        loss, most = log_losses(logits, photos.labels).mean(), np.abs(logits).max()
        rows.append((balanced_accuracy(logits, photos.labels), loss, most))
    return np.array(rows, np.float32)


def print_table(names: list[str], table: Floats) -> None:
    """A line per set, the means, and the choice on the other sets; `table` is [sets, floors, 3]."""
    for name, row in zip(names, table, strict=True):
        print(f"{name:12}" + "".join(f"{accuracy:8.3f} {loss:.3f} {most:5.1f}" for accuracy, loss, most in row))
    print(f"{'mean':12}" + "".join(f"{accuracy:8.4f} {loss:.4f}     " for accuracy, loss, _ in table.mean(axis=0)))
    if len(names) < 2:
        return
    values = {f"{floor:g}": table[:, place, :2] * (1, -1) for place, floor in enumerate(FLOORS)}
    shipped = values[f"{FLOOR:g}"][:, 0].mean()
    for column, word in enumerate(("balanced accuracy", "log-loss")):
        chosen, score = left_out_choice(values, list(values), column)
        print(f"chosen by {word} without the set left out: {', '.join(chosen)}: {score:.4f}; as shipped {shipped:.4f}")


if __name__ == "__main__":
    main()
