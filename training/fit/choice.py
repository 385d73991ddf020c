"""Which model ships, chosen from held-out answers alone: no image, no network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.stats.fold_comparison import Comparison
from training.stats.folds import OutOfFold
from training.stats.scores import Floats

Epochs = list[dict[str, float]]


@dataclass(frozen=True, slots=True, eq=False)
class TunedFolds:
    """Held-out answers of fine-tuning, in the order of the head's.

    Attributes:
        logits: float32 [n, classes]; of no meaning where not `known`.
        distance: float32 [n], to the nearest images that the fold's network learnt from.
        known: bool [n], the images of the folds that were trained.
        epochs: of each trained fold.
        folds: how many there are, trained or not.
        comparison: with the head, on the known ones.
    """

    logits: Floats
    distance: Floats
    known: npt.NDArray[np.bool_]
    epochs: tuple[Epochs, ...]
    folds: int
    comparison: Comparison


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of the candidates.

    `head` are the linear head's answers out of fold, None when nothing can be held out; `tuned` those of fine-tuning,
    None when it was not tried, for the reason `not_tuned`.
    """

    head: OutOfFold | None
    tuned: TunedFolds | None = None
    not_tuned: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The candidate that ships (head or finetuned), why, and its answers out of fold."""

    chosen: str
    why: str
    out_of_fold: OutOfFold | None


def choose(evidence: Evidence, guard: bool, epochs: int) -> Choice:
    """Choose fine-tuning where it is shown to be better than the head, else the head.

    Args:
        evidence: the held-out answers.
        guard: False: fine-tuning ships whenever all its folds were trained.
        epochs: of a whole fine-tuning; a first fold with fewer was stopped early.
    """
    head, tuned = evidence.head, evidence.tuned
    if head is None or tuned is None:
        return Choice("head", evidence.not_tuned, head)
    found = tuned.comparison
    if not tuned.known.all():
        after = f"{len(tuned.epochs)} of {tuned.folds} folds"
        if len(tuned.epochs[0]) < epochs:
            after = f"{len(tuned.epochs[0])} of {epochs} epochs of the first fold"
        return Choice("head", f"after {after} fine-tuning does not look better: {found}", head)
    if guard and not found.passes:
        return Choice("head", f"fine-tuning is not better by more than one standard error: {found}", head)
    verdict = "is better by more than one standard error" if found.passes else "ships unjudged (train.guard = false)"
    answers = dataclasses.replace(head, logits=tuned.logits, distance=tuned.distance)
    return Choice("finetuned", f"fine-tuning {verdict}: {found}", answers)
