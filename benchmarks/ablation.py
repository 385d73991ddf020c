"""What each constant of the recipe is worth: variants of it by set, and which one leaving one set out chooses.

    python -m benchmarks.ablation [--sets photos/bears,photos/aerial] [--only "mixup 0.2;batches of 32"] [--seeds 5]
                                  [--backbone efficientnet_lite0] [--keep DIR] [--device cuda]

Every variant is trained and tested on the folds of `benchmarks.train`; what it answers is what `train` would ship.
Then each variant meets the recipe as shipped: the better of the two on all sets but one is scored on that one.
`--keep` remembers every answer, so that a long comparison can be made in pieces.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.support.photo_sets import FOLDS, SETS_HELP, PhotoSet, collect
from benchmarks.support.rivals import Answer, Rows, ours
from benchmarks.train import BACKBONES, file_name, remembered, with_backbone
from training.stats.scores import balanced_accuracy
from workspace.storage.model_card import Preset

SHIPPED = "as shipped"

MIRRORED = "mean with the mirrored view"
"""What is shipped, asked twice: it needs no training of its own."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The recipe with something changed: settings of [train], or names of training.fit.selection."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, photos: PhotoSet, train: Rows, test: Rows, seed: int) -> Answer:
        """Train it and answer the test images."""
        config = photos.config.model_copy(update={"train": photos.config.train.model_copy(update=dict(self.settings))})
        changed = mock.patch.multiple("training.fit.selection", **self.constants) if self.constants else nullcontext()
        with changed:
            return ours(replace(photos, config=config), train, test, seed)


def always(preset: Preset) -> Variant:
    """Augment by this preset, however many pictures there are."""
    return Variant(constants={"preset_for": lambda per_class: preset})


VARIANTS: Mapping[str, Variant] = {
    SHIPPED: Variant(),
    "head alone": Variant({"regime": "frozen"}),
    "last half": Variant({"regime": "head-first"}),
    "every stage": Variant({"regime": "all-layers"}),
    "half the epochs": Variant({"epochs": 6}),
    "twice the epochs": Variant({"epochs": 24}),
    "backbone_lr 0.001": Variant({"backbone_lr": 0.001}),
    "backbone_lr 0.01": Variant({"backbone_lr": 0.01}),
    "stage_decay 0.5": Variant({"stage_decay": 0.5}),
    "batches of 32": Variant({"batch_size": 32}),
    "batch norm only": Variant({"batch_norm_only": True, "backbone_lr": 0.01}),
    "mixup 0.2": Variant({"mixup": 0.2}),
    "label smoothing 0.1": Variant({"label_smoothing": 0.1}),
    "larger crops": always(Preset("larger", 0.7)),
    "smaller crops": always(Preset("smaller", 0.2)),
    "more colour": always(Preset("colour", 0.5, colour=0.4, hue=0.1)),
    "hardly any change": always(Preset("gentle", 0.7, colour=0.1, hue=0.0, degrees=0.0, jpeg=90, holes=0.0)),
    "full rate at the end": Variant(constants={"LAST_RATE": 1.0}),
    "head on the last stage": Variant({"head_stages": 1}),
}


def main() -> None:
    """Measure what is not known yet; print the sets by variants, and what leaving one set out chooses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="drawn,stamps,icons", help=SETS_HELP)
    parser.add_argument("--only", default=";".join(VARIANTS), help="variants, parted by semicolons")
    parser.add_argument("--seeds", default=str(FOLDS), help="how many, at most 5; or one alone: =2")
    parser.add_argument("--backbone", default="efficientnet_lite0", choices=tuple(BACKBONES))
    parser.add_argument("--keep", type=Path, help="folder that remembers collections and answers")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    given = parser.parse_args()
    names = list(dict.fromkeys([SHIPPED, MIRRORED, *given.only.split(";")]))
    if unknown := [name for name in names if name not in {MIRRORED, *VARIANTS}]:
        raise SystemExit(f"there is no variant {unknown[0]!r}; known are {'; '.join(VARIANTS)}")
    seeds = [int(given.seeds[1:])] if given.seeds.startswith("=") else list(range(int(given.seeds)))
    with tempfile.TemporaryDirectory() as scratch:
        root = given.keep or Path(scratch)
        folder = root / "variants" / f"{given.backbone}-{given.device}"
        table: dict[str, dict[str, float]] = {}
        for source in given.sets.split(","):
            photos = with_backbone(collect(source, root, "efficientnet_lite0"), given.backbone, given.device)
            table[photos.name] = {name: accuracy(photos, folder, name, seeds) for name in names}
    print_table(table, names)
    print_left_out(table, names)


def accuracy(photos: PhotoSet, folder: Path, name: str, seeds: Sequence[int]) -> float:
    """A variant's balanced accuracy on the tested pictures of these folds together."""
    trained = SHIPPED if name == MIRRORED else name
    answers = [
        remembered(photos, folder / file_name(photos.name, trained, seed), trained, VARIANTS[trained].answer, seed)
        for seed in seeds
    ]
    labels = np.concatenate([photos.labels[photos.fold == seed] for seed in seeds])
    logits = [found.logits + found.parts["mirrored"] if name == MIRRORED else found.logits for found in answers]
    return balanced_accuracy(np.concatenate(logits), labels)


def print_table(table: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> None:
    """A line per variant: its balanced accuracy by set, and its mean and worst difference from the recipe."""
    print(f"\n{'variant':24}" + "".join(f"{name[:10]:>11}" for name in table) + "       mean   difference   worst")
    for name in names:
        found = np.array([row[name] for row in table.values()])
        lead = found - np.array([row[SHIPPED] for row in table.values()])
        values = "".join(f"{value:11.3f}" for value in found)
        print(f"{name:24}{values}{found.mean():11.4f}   {lead.mean():+10.4f}  {lead.min():+.3f}")


def print_left_out(table: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> None:
    """What a choice between the recipe and each variant, made on the other sets, is worth on the set left out."""
    if len(table) < 2:
        return
    print("\nvariant                  chosen without the set left out   mean on these sets   as shipped")
    shipped = np.array([row[SHIPPED] for row in table.values()])
    for name in (name for name in names if name != SHIPPED):
        found = np.array([row[name] for row in table.values()])
        chosen = np.array([np.delete(found - shipped, left_out).mean() > 0 for left_out in range(len(table))])
        scores = np.where(chosen, found, shipped)
        print(f"{name:24} {int(chosen.sum()):14} of {len(table)} {scores.mean():30.4f} {shipped.mean():12.4f}")
    every = np.stack([[row[name] for name in names] for row in table.values()])
    best = [int(np.delete(every, left_out, axis=0).mean(axis=0).argmax()) for left_out in range(len(table))]
    scores = np.array([every[row, column] for row, column in enumerate(best)])
    print(f"\nthe best of all variants, chosen without the set left out: {scores.mean():.4f}")
    print(", ".join(f"{name}: {names[column]}" for name, column in zip(table, best, strict=True)))


if __name__ == "__main__":
    main()
