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
from benchmarks.train import BACKBONES, file_name, remembered, tested, with_backbone
from training.network.views import PRESETS
from training.stats.fold_comparison import FoldComparison, compare_folds
from training.stats.scores import Floats
from workspace.storage.model_card import Preset
from workspace.storage.run import RECIPE_VERSION

SHIPPED = "as shipped"

MIRRORED = "mean with the mirrored view"
"""What is shipped, asked twice: it needs no training of its own."""

Table = dict[str, dict[str, FoldComparison]]
"""By set and variant, the variant (`finetuned`) beside the recipe as shipped (`head`)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The recipe with something changed: settings by their dotted names, or names of training.fit.selection."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, photos: PhotoSet, train: Rows, test: Rows, seed: int) -> Answer:
        """Train it and answer the test images."""
        config = photos.config
        for name, value in self.settings.items():
            section, setting = name.split(".")
            values = getattr(config, section).model_copy(update={setting: value})
            config = config.model_copy(update={section: values})
        changed = mock.patch.multiple("training.fit.selection", **self.constants) if self.constants else nullcontext()
        with changed:
            return ours(replace(photos, config=config), train, test, seed)


def views_of(preset: Preset) -> Variant:
    """Augment by this preset."""
    return Variant(constants={"PRESETS": dict.fromkeys(PRESETS, preset)})


VARIANTS: Mapping[str, Variant] = {
    SHIPPED: Variant(),
    "head alone": Variant({"train.regime": "frozen"}),
    "last half": Variant({"train.regime": "head-first"}),
    "every stage": Variant({"train.regime": "all-layers"}),
    "half the epochs": Variant({"train.epochs": 6}),
    "twice the epochs": Variant({"train.epochs": 24}),
    "backbone_lr 0.001": Variant({"train.backbone_lr": 0.001}),
    "backbone_lr 0.01": Variant({"train.backbone_lr": 0.01}),
    "stage_decay 0.5": Variant({"train.stage_decay": 0.5}),
    "batches of 32": Variant({"train.batch_size": 32}),
    "batch norm only": Variant({"train.batch_norm_only": True, "train.backbone_lr": 0.01}),
    "mixup 0.2": Variant({"train.mixup": 0.2}),
    "label smoothing 0.1": Variant({"train.label_smoothing": 0.1}),
    "medium views": Variant({"augment.strength": "medium"}),
    "strong views": Variant({"augment.strength": "strong"}),
    "medium, larger crops": views_of(replace(PRESETS["medium"], crop_scale=0.7)),
    "light, smaller crops": views_of(replace(PRESETS["light"], crop_scale=0.5)),
    "light, more colour": views_of(replace(PRESETS["light"], colour=0.4, hue=0.1)),
    "full rate at the end": Variant(constants={"LAST_RATE": 1.0}),
    "head on the last stage": Variant({"train.head_stages": 1}),
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
        folder = root / "variants" / f"{given.backbone}-{given.device}-recipe-{RECIPE_VERSION}"
        table: Table = {}
        for source in given.sets.split(","):
            photos = with_backbone(collect(source, root, "efficientnet_lite0"), given.backbone, given.device)
            table[photos.name] = measure(photos, folder, names, seeds)
    print_table(table, names)
    print_left_out(table, names)


def measure(photos: PhotoSet, folder: Path, names: Sequence[str], seeds: Sequence[int]) -> dict[str, FoldComparison]:
    """Each variant beside the recipe as shipped, on the tested images of these folds together."""
    rows = tested(photos, seeds)
    labels, groups = photos.labels[rows], photos.groups[rows]
    found = {name: logits_of(photos, folder, name, seeds) for name in names}
    return {name: compare_folds(found[SHIPPED], logits, labels, groups) for name, logits in found.items()}


def logits_of(photos: PhotoSet, folder: Path, name: str, seeds: Sequence[int]) -> Floats:
    """What a variant answers to the tested images, [n, classes], in the order of `tested`."""
    trained = SHIPPED if name == MIRRORED else name
    answers = [
        remembered(photos, folder / file_name(photos.name, trained, seed), trained, VARIANTS[trained].answer, seed)
        for seed in seeds
    ]
    if name == MIRRORED:
        return np.concatenate([(found.logits + found.parts["mirrored"]) / 2 for found in answers])
    return np.concatenate([found.logits for found in answers])


def print_table(table: Table, names: Sequence[str]) -> None:
    """A line per variant: balanced accuracy by set, and the mean difference from the recipe with its standard error.

    The difference in log-loss says more than that in accuracy, since every image counts for it.
    """
    sets = "".join(f"{name[:10]:>11}" for name in table)
    print(f"\n{'variant':24}{sets}       mean   difference (s.e.)    worst   log-loss (s.e.)")
    for name in names:
        found = [row[name] for row in table.values()]
        values = "".join(f"{one.finetuned:11.3f}" for one in found)
        lead, error = mean_of([one.difference for one in found], [one.standard_error for one in found])
        loss, loss_error = mean_of([one.loss_difference for one in found], [one.loss_standard_error for one in found])
        mean, worst = np.mean([one.finetuned for one in found]), min(one.difference for one in found)
        print(
            f"{name:24}{values}{mean:11.4f}   {lead:+.4f} ({error:.4f})   {worst:+.3f}   {loss:+.4f} ({loss_error:.4f})"
        )


def mean_of(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The mean over sets, and its standard error: sets weigh the same and are independent."""
    return float(np.mean(values)), float(np.sqrt(np.sum(np.square(errors))) / len(values))


def print_left_out(table: Table, names: Sequence[str]) -> None:
    """What a choice between the recipe and each variant, made on the other sets, is worth on the set left out.

    The choice is made once by the mean balanced accuracy of the other sets, once by their mean log-loss.
    """
    if len(table) < 2:
        return
    values = {
        name: np.array([[row[name].finetuned, -row[name].loss_difference] for row in table.values()]) for name in names
    }
    print("\n                         by accuracy              by log-loss")
    print("variant                  chosen    mean accuracy   chosen    mean accuracy   as shipped")
    for name in (name for name in names if name != SHIPPED):
        cells = [left_out_choice(values, [SHIPPED, name], column) for column in (0, 1)]
        text = "   ".join(f"{chosen.count(name)} of {len(table)}   {score:14.4f}" for chosen, score in cells)
        print(f"{name:24} {text} {values[SHIPPED][:, 0].mean():12.4f}")
    for column, word in enumerate(("accuracy", "log-loss")):
        chosen, score = left_out_choice(values, names, column)
        print(f"\nthe best of all variants by {word}, chosen without the set left out: {score:.4f}")
        print(", ".join(f"{name}: {variant}" for name, variant in zip(table, chosen, strict=True)))


def left_out_choice(values: Mapping[str, Floats], names: Sequence[str], column: int) -> tuple[list[str], float]:
    """Choose for each set among `names` by the other sets; return the choices and their mean balanced accuracy.

    Args:
        values: by variant, [sets, 2]: balanced accuracy, and what is the higher the lower the log-loss.
        names: the variants to choose among; the first of equals is taken.
        column: what to choose by, of `values`.
    """
    every = np.stack([values[name] for name in names])  # [variants, sets, 2]
    sets = range(every.shape[1])
    best = [int(np.delete(every[:, :, column], left_out, axis=1).mean(axis=1).argmax()) for left_out in sets]
    return [names[row] for row in best], float(
        np.mean([every[row, left_out, 0] for left_out, row in zip(sets, best, strict=True)])
    )


if __name__ == "__main__":
    main()
