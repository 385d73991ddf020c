"""Train the fine-tuned copy: without one fold, measured on that fold, then further with every image.

One fit gives both what held-out images say of it and a network that has learnt from all of them, for a third more
epochs than the first part alone.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass

import numpy as np

from training.fit.finetune import Epochs, Job, TunedNetwork, finetune, predicted
from training.network.device import Device
from training.stats.scores import Floats, Labels, balanced_accuracy, log_loss, softmax
from workspace.clock import duration
from workspace.progress import Progress

_MEASURED = (1, 4)
"""Steps between which the time of one is measured: the first also warms up."""


@dataclass(frozen=True, slots=True, eq=False)
class TuningPlan:
    """The two parts of a fine-tuning, and the images that the first leaves out.

    Attributes:
        network: to be trained, fresh.
        held_in: job on all images but the held-out ones.
        everything: job on all images, from where `held_in` ends.
        keys: sha256 of the held-out images.
        labels: their labels, int64.
    """

    network: TunedNetwork
    held_in: Job
    everything: Job
    keys: tuple[str, ...]
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False)
class TunedCopy:
    """What a fine-tuning ends with.

    Attributes:
        network: trained, on the CPU; None where the time limit came before the first part had ended, or it diverged.
        answers: to the held-out images after the first part, float32 [n, classes]; None where there is no network.
        epochs: of both parts.
        cut_short: what the time limit or a divergence left out, in a sentence; empty when nothing.
    """

    network: TunedNetwork | None
    answers: Floats | None
    epochs: Epochs
    cut_short: str = ""


def train_copy(plan: TuningPlan, device: Device, time_limit_s: float, progress: Progress) -> TunedCopy:
    """Train the copy, for as long as the time limit allows.

    A part that the limit ends is dropped: its learning rate has not come to rest. So is one that diverged.

    Args:
        plan: what to train, and on what.
        device: where to compute.
        time_limit_s: seconds after which, at an epoch's end, no further epoch begins; 0: none.
        progress: told how long it will take, once a few steps were measured, and of every step.
    """
    deadline = time.monotonic() + time_limit_s if time_limit_s else float("inf")
    timed = _Timed(progress, time_limit_s, later=plan.everything.steps)
    network = device.put(plan.network)

    def late() -> bool:
        return time.monotonic() >= deadline

    progress.say(f"fine-tuning on {len(plan.held_in.keys)} pictures; {len(plan.keys)} are held out to measure it on")
    first = finetune(network, plan.held_in, device, timed, late)
    if len(first) < plan.held_in.epochs:
        return TunedCopy(None, None, [], _ended(progress, time_limit_s, "before the copy was finished; it is dropped"))
    answers = predicted(network, plan.held_in, plan.keys, device)
    if not (_is_finite(network, first) and np.isfinite(answers).all()):
        return TunedCopy(None, None, [], _diverged(progress, "the copy is dropped"))
    scores = {
        "val_loss": log_loss(softmax(answers), plan.labels),
        "val_accuracy": balanced_accuracy(answers, plan.labels),
    }
    first = [*first[:-1], {**first[-1], **scores}]
    finished = copy.deepcopy(network).cpu()
    timed.later = 0
    progress.say(f"fine-tuning goes on with all {len(plan.everything.keys)} pictures")
    second = finetune(network, plan.everything, device, timed, late)
    if len(second) < plan.everything.epochs:
        left_out = "before the held-out pictures were learnt from too; the copy is the one without them"
        return TunedCopy(finished, answers, first, _ended(progress, time_limit_s, left_out))
    if not _is_finite(network, second):
        left_out = "the copy is the one that has not learnt from the held-out pictures"
        return TunedCopy(finished, answers, first, _diverged(progress, left_out))
    numbered = [{**row, "epoch": plan.held_in.epochs + row["epoch"]} for row in second]
    return TunedCopy(network.cpu(), answers, first + numbered)


def _ended(progress: Progress, time_limit_s: float, left_out: str) -> str:
    return _warned(progress, f"train.time_limit_s = {time_limit_s:g} ended fine-tuning {left_out}")


def _diverged(progress: Progress, left_out: str) -> str:
    remedy = "lower train.head_lr and train.backbone_lr"
    return _warned(progress, f"fine-tuning diverged to values that are no numbers, so {left_out}; {remedy}")


def _warned(progress: Progress, sentence: str) -> str:
    progress.warn(sentence)
    return sentence


def _is_finite(network: TunedNetwork, epochs: Epochs) -> bool:
    return math.isfinite(epochs[-1]["loss"]) and all(bool(part.isfinite().all()) for part in network.parameters())


class _Timed:
    """Passes progress on, and says how long all of it will take once a few steps were measured."""

    def __init__(self, progress: Progress, limit_s: float, later: int) -> None:
        self._progress, self._limit_s = progress, limit_s
        self.later = later  # steps of what comes after this part
        self._left, self._done, self._began = 0, 0, 0.0

    def begin(self, what: str, total: int | None) -> None:
        self._left = (total or 0) + self.later
        self._progress.begin(what, total)

    def advance(self, count: int = 1) -> None:
        self._done, self._left = self._done + count, self._left - count
        first, last = _MEASURED
        if self._done == first:
            self._began = time.monotonic()
        elif self._done == last:
            self._tell((time.monotonic() - self._began) / (last - first))
        self._progress.advance(count)

    def say(self, message: str) -> None:
        self._progress.say(message)

    def warn(self, message: str) -> None:
        self._progress.warn(message)

    def _tell(self, step_s: float) -> None:
        left_s = step_s * self._left
        cut = f"; train.time_limit_s = {self._limit_s:g} will end it before" if 0 < self._limit_s < left_s else ""
        self.say(f"fine-tuning will take about {duration(left_s)} ({step_s:.2g} s a step){cut}")
