"""Which model ships, chosen from held-out answers alone: no image, no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.fit.history import PartScores
from training.stats.fold_comparison import FoldComparison, compare_folds
from training.stats.folds import OutOfFold
from training.stats.parts import PARTS, random_parts
from training.stats.scores import Floats, Groups, Labels, balanced_accuracy, log_loss, softmax

SHARES = tuple(step / 20 for step in range(1, 20))
"""Weights of the fine-tuned copy's logits, beside the head's, that held-out images choose from."""

USUAL_SHARE, PULL = 0.4, 100.0
"""The share without evidence, and the nats of log-likelihood that a share costs times its squared distance from it.

What a hundred held-out images would choose freely is noise: with this pull they stay near 0.4 unless they speak clearly
(docs/decisions/0011)."""

_TINY = 1e-12  # so that a logarithm is finite

LAST_STAGE, HEAD, TUNED, BOTH = "head on the last stage", "linear head", "fine-tuned copy", "head and copy averaged"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is known of the candidates, image by image.

    Attributes:
        head: the linear head's answers out of fold; None when nothing can be held out.
        last_stage: of its half that sees the last stage alone, float32 [n, classes].
        groups: [n], what is not independent.
        tuned: what the fine-tuned copy answered to the images that it had not learnt from, float32 [n, classes], of no
            meaning where not `known`; None when there is no copy.
        known: bool [n], these images.
        not_tuned: why there is no copy.
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
    there was nothing to compare), `parts` how each part did on the same held-out images, and `share` is the weight of
    the copy's logits (0: the head alone).
    """

    chosen: str
    why: str
    out_of_fold: OutOfFold | None
    comparison: FoldComparison | None = None
    parts: tuple[PartScores, ...] = ()
    share: float = 0.0


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
    both = alone.answering(_cross_fitted(alone, evidence.tuned[known], evidence.groups[known]))
    share = choose_share(alone.logits, evidence.tuned[known], alone.labels)
    found = compare_folds(alone.logits, both.logits, alone.labels, evidence.groups[known])
    logits = {LAST_STAGE: last_stage[known], HEAD: alone.logits, TUNED: evidence.tuned[known], BOTH: both.logits}
    parts = _parts(alone, logits)
    if guard and not found.passes:
        why = f"with the fine-tuned copy it is worse by more than two standard errors: {found}"
        return Choice("head", why, head, found, parts)
    verdict = "is not worse by more than two standard errors" if guard else "ships unjudged (train.guard = false)"
    return Choice(
        "finetuned", f"the average of the head and the fine-tuned copy {verdict}: {found}", both, found, parts, share
    )


def choose_share(head: Floats, tuned: Floats, labels: Labels, usual: float = USUAL_SHARE, pull: float = PULL) -> float:
    """Choose the weight of the fine-tuned copy's logits by the log-likelihood of held-out images.

    Args:
        head: logits [n, classes]; n may be 0.
        tuned: the copy's.
        labels: int64 [n].
        usual: the share without evidence.
        pull: nats that a share costs times its squared distance from `usual`.

    Returns:
        One of SHARES: the one of the largest log-likelihood less that cost.
    """
    rows = np.arange(len(labels))
    gains = [
        np.log(softmax(averaged(head, tuned, share))[rows, labels] + _TINY).sum() - pull * (share - usual) ** 2
        for share in SHARES
    ]
    return SHARES[int(np.argmax(gains))]


def averaged(head: Floats, tuned: Floats, share: float) -> Floats:
    """Logits of both parts together, float32 [n, classes]."""
    return np.float32(1 - share) * head + np.float32(share) * tuned


def _cross_fitted(head: OutOfFold, tuned: Floats, groups: Groups) -> Floats:
    """The logits of both, each part's with the share that the other parts choose; groups are whole."""
    logits = np.empty_like(head.logits)
    part = random_parts(groups, PARTS)
    for held_out in (part == each for each in np.unique(part)):
        share = choose_share(head.logits[~held_out], tuned[~held_out], head.labels[~held_out])
        logits[held_out] = averaged(head.logits[held_out], tuned[held_out], share)
    return logits


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
