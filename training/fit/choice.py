"""Which model ships, chosen from held-out answers alone: no image, no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.fit.history import PartScores
from training.stats.fold_comparison import Comparison, Groups, compare
from training.stats.folds import OutOfFold
from training.stats.scores import Floats, balanced_accuracy, log_loss, softmax

TUNED_SHARE = 1 / 3
"""Weight of the fine-tuned copy's logits beside the head's. Fixed: what a hundred held-out images would choose is noise
(docs/decisions/0011)."""

LAST_STAGE, HEAD, TUNED, BOTH = "head on the last stage", "linear head", "fine-tuned copy", "head and copy averaged"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of the candidates, image by image.

    Attributes:
        head: the linear head's answers out of fold; None when nothing can be held out.
        last_stage: of its half that sees the last stage alone, float32 [n, classes].
        groups: [n], what is not independent.
        tuned: what the fine-tuned members answer to the folds that they did not learn from, float32 [n, classes], of no
            meaning where not `known`; None when there are no members.
        known: bool [n], the images of these folds.
        not_tuned: why there are no members.
    """

    head: OutOfFold | None
    last_stage: Floats | None = None
    groups: Groups | None = None
    tuned: Floats | None = None
    known: npt.NDArray[np.bool_] | None = None
    not_tuned: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What ships: `head`, or `finetuned`, which is the average of the head's and the fine-tuned copy's logits.

    `why` says why, `out_of_fold` holds its own answers out of fold, `comparison` what it was judged by (None where
    there was nothing to compare), and `parts` how each part did on the same held-out images.
    """

    chosen: str
    why: str
    out_of_fold: OutOfFold | None
    comparison: Comparison | None = None
    parts: tuple[PartScores, ...] = ()


def choose(evidence: Evidence, guard: bool) -> Choice:
    """Choose the average of the head and the fine-tuned copy unless held-out images show that the head is better.

    Args:
        evidence: the held-out answers.
        guard: False: the average ships unjudged wherever there is a fine-tuned copy.
    """
    head, last_stage = evidence.head, evidence.last_stage
    if head is None or last_stage is None:
        return Choice("head", evidence.not_tuned, head)
    if evidence.tuned is None or evidence.known is None or evidence.groups is None:
        return Choice("head", evidence.not_tuned, head, None, _parts(head, {LAST_STAGE: last_stage, HEAD: head.logits}))
    known = evidence.known
    alone = head.part(known)
    share = np.float32(TUNED_SHARE)
    both = alone.answering((1 - share) * alone.logits + share * evidence.tuned[known])
    found = compare(alone.logits, both.logits, alone.labels, evidence.groups[known])
    logits = {LAST_STAGE: last_stage[known], HEAD: alone.logits, TUNED: evidence.tuned[known], BOTH: both.logits}
    parts = _parts(alone, logits)
    if guard and not found.passes:
        why = f"with the fine-tuned copy it is worse by more than one standard error: {found}"
        return Choice("head", why, head, found, parts)
    verdict = "is not worse by more than one standard error" if guard else "ships unjudged (train.guard = false)"
    return Choice(
        "finetuned", f"the average of the head and the fine-tuned copy {verdict}: {found}", both, found, parts
    )


def _parts(images: OutOfFold, logits: dict[str, Floats]) -> tuple[PartScores, ...]:
    return tuple(
        PartScores(
            name=name,
            n=len(images.labels),
            balanced_accuracy=balanced_accuracy(answers, images.labels),
            log_loss=log_loss(softmax(answers), images.labels),
        )
        for name, answers in logits.items()
    )
