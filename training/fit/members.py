"""The fine-tuned copy: the average of a few networks that each leave out a fold, which says how good they are.

All start from the same ImageNet weights, so that the average of their weights is a network too (a model soup, Wortsman
et al. 2022, arXiv 2203.05482). It has learnt from every image, and no image's held-out answer costs a fit of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from training.fit.finetune import Epochs, Job, TunedNetwork, finetune, predicted
from training.network.device import Device
from training.stats.scores import Floats, Labels, balanced_accuracy, log_loss, softmax
from workspace.progress import Progress

_MEASURED = (1, 4)
"""Steps between which the time of one is measured: the first also warms up."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """What one member does: fine-tune `network` by `job`, and answer the held-out images `keys` of `labels` int64."""

    make: Callable[[], TunedNetwork]
    job: Job
    keys: tuple[str, ...]
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """What the finished members give.

    Attributes:
        network: the average of their weights, on the CPU; None where none was finished.
        answers: of each to its held-out images, float32 [n of its fold, classes], in the order of the assignments.
        epochs: of each.
        cut_short: what the time limit left out; empty when nothing.
    """

    network: TunedNetwork | None
    answers: tuple[Floats, ...]
    epochs: tuple[Epochs, ...]
    cut_short: str = ""


def train_members(
    assignments: Sequence[Assignment], device: Device, time_limit_s: float, progress: Progress
) -> Members:
    """Train the members one after another, for as long as the time limit allows.

    Args:
        assignments: one per member.
        device: where to compute.
        time_limit_s: seconds after which, at an epoch's end, no further epoch begins; 0: none.
        progress: told how long it will take, once a few steps were measured, and of every step.
    """
    deadline = time.monotonic() + time_limit_s if time_limit_s else float("inf")
    timed = _Timed(progress, time_limit_s)
    networks, answers, epochs = [], [], []
    for number, assignment in enumerate(assignments, start=1):
        progress.say(f"fine-tuning network {number} of {len(assignments)}, which leaves out a fold to be asked about")
        timed.later = sum(other.job.steps for other in assignments[number:])
        network = device.put(assignment.make())
        history = finetune(network, assignment.job, device, timed, lambda: time.monotonic() >= deadline)
        if len(history) < assignment.job.epochs:
            break
        logits = predicted(network, assignment.job, assignment.keys, device)
        history[-1] |= {
            "val_loss": log_loss(softmax(logits), assignment.labels),
            "val_accuracy": balanced_accuracy(logits, assignment.labels),
        }
        networks.append(network.cpu())
        answers.append(logits)
        epochs.append(history)
    cut_short = ""
    if len(networks) < len(assignments):
        cut_short = (
            f"train.time_limit_s = {time_limit_s:g} ended fine-tuning with {len(networks)} of {len(assignments)} "
            "networks finished"
        )
        progress.warn(cut_short)
    average = average_of(networks) if networks else None
    return Members(average, tuple(answers), tuple(epochs), cut_short)


def average_of(networks: Sequence[TunedNetwork]) -> TunedNetwork:
    """Give the first network the mean of the weights of all; statistics of batch norm are the same in each."""
    average = networks[0]
    states = [network.state_dict() for network in networks]
    with torch.no_grad():
        for name, value in average.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.stack([state[name] for state in states]).mean(0))
    return average


class _Timed:
    """Passes progress on, and says how long all of it will take once a few steps were measured."""

    def __init__(self, progress: Progress, limit_s: float) -> None:
        self._progress, self._limit_s = progress, limit_s
        self.later = 0  # steps of the members after this one
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


def duration(seconds: float) -> str:
    """Say a duration in words: 40 s, 3 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
