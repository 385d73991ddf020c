"""Partial unfreezing: the open stages and the head, trained on cached activations of the frozen ones."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.fit.cached_dataset import CachedPictures, Rows
from training.fit.distributed import Team, check_world_size, team_of
from training.network.backbone import Network
from training.network.device import Device
from training.network.prefetch import prefetched
from training.network.registry import read_torch_file
from training.stats.scores import Floats, Labels, balanced_accuracy, class_weights, log_loss, softmax
from workspace.config.train import TrainConfig
from workspace.progress import SILENT, Progress
from workspace.storage.paths import write_atomic

Stop = Callable[[list[dict[str, float]]], bool]

WORKERS = 1
"""Threads that read the next batch while the network learns from this one."""

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises from 0, before its cosine falls back to 0."""

LARGEST_GRADIENT = 1.0
"""Norm to which a step's gradient is clipped: batch norm that is frozen does not tame the steps. Without it the loss of
a random network rose and the validation loss on 350 aerial pictures jumped by half from epoch to epoch."""

AVERAGED = 1 / 3
"""Share of the epochs, the last ones, whose weights are averaged (Izmailov et al. 2018, arXiv 1803.05407)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One fine-tuning: what to learn from, how, and the file that lets it go on after a kill.

    `fingerprint` names everything that the result depends on; a checkpoint with another one is not used.
    """

    train: CachedPictures
    val: CachedPictures
    config: TrainConfig
    classes: int
    seed: int
    checkpoint: Path
    fingerprint: str

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, which differ in size by one picture at most."""
        return math.ceil(len(self.train.keys) / self.config.batch_size)


def _never(_: list[dict[str, float]]) -> bool:
    return False


def finetune(
    network: Network, job: Job, device: Device, progress: Progress, stop: Stop = _never
) -> list[dict[str, float]]:
    """Train the open stages and the head in place; the frozen ones are not run, no batch norm's statistic changes.

    The network ends as the average of its last third of epochs, or as it is where `stop`, asked before every epoch
    about the rows so far, ends it before them. Every draw comes from (seed, epoch) and each epoch ends in a checkpoint,
    so that on a CPU an interrupted and resumed run equals a whole one bit for bit.

    Returns:
        One row per epoch: epoch (from 1), loss, lr (of the head), and where pictures are held out val_loss and
        val_accuracy (balanced, in [0, 1]).

    Raises:
        ConfigError: there are more processes than GPUs, or than pictures in a batch.
        WorkspaceError: another process failed.
    """
    processes = job.config.processes
    check_world_size(processes, device, [len(job.train.keys)], job.config.batch_size)
    with team_of(processes, device, _follow, network, job) as team:
        return _train(network, job, team, progress, stop)


def _follow(team: Team, network: Network, job: Job) -> None:
    _train(team.device.put(network), job, team, SILENT, _never)


def _train(network: Network, job: Job, team: Team, progress: Progress, stop: Stop) -> list[dict[str, float]]:
    state = _Training(network, job, team)
    if state.done:
        progress.say(f"fine-tuning goes on after epoch {state.done}")
    progress.begin("Fine-tuning", (job.config.epochs - state.done) * job.steps_per_epoch)
    for epoch in range(state.done, job.config.epochs):
        if team.decided(stop(state.history)):
            break
        loss = state.run_epoch(epoch, progress)
        if team.is_rank_0:
            state.close_epoch(epoch, loss)
    state.take_average()
    return state.history


def predicted(network: Network, pictures: CachedPictures, device: Device, batch_size: int) -> Floats:
    """Logits of the clean views, float32 [n, classes]."""
    logits = []
    for features in _tails(network, pictures, device, batch_size):
        with torch.inference_mode(), device.autocast():
            logits.append(network.head(features).float().cpu().numpy())
    return np.concatenate(logits)


def pooled(network: Network, pictures: CachedPictures, device: Device, batch_size: int) -> Floats:
    """The last stage's features of the clean views, float32 [n, feature_dim]."""
    size = network.backbone.spec.feature_dim
    return np.concatenate(
        [one[:, :size].float().cpu().numpy() for one in _tails(network, pictures, device, batch_size)]
    )


def _tails(network: Network, pictures: CachedPictures, device: Device, batch_size: int) -> Iterator[torch.Tensor]:
    network.eval()
    batches = np.array_split(np.arange(len(pictures.keys)), math.ceil(len(pictures.keys) / batch_size))
    for _, (arrays, frozen, _) in prefetched(batches, pictures.clean_batch, WORKERS):
        with torch.inference_mode(), device.autocast():
            features = network.backbone.resume(_inputs(arrays, device), device.tensor(frozen))
        yield features


class _Tail(nn.Module):
    """What is trained, as one module: activations and the frozen stages' features to logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, activations: torch.Tensor, frozen: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network.head(self.network.backbone.resume(activations, frozen))
        return logits


class _Training:
    """What changes while training, and how it is kept."""

    def __init__(self, network: Network, job: Job, team: Team) -> None:
        self.network, self.job, self.team, self.device = network, job, team, team.device
        self.history: list[dict[str, float]] = []
        self.open = {name: value for name, value in network.named_parameters() if value.requires_grad}
        self.average = {name: torch.zeros_like(value) for name, value in self.open.items()}
        self.averaged = 0
        self.optimizer = torch.optim.SGD(
            _parameter_groups(network, job.config), momentum=job.config.momentum, weight_decay=job.config.weight_decay
        )
        self.scaler = self.device.scaler()
        self.weights = class_weights(job.train.labels, job.classes).astype(np.float32)
        self.criterion = nn.CrossEntropyLoss(
            self.device.tensor(self.weights), reduction="sum", label_smoothing=job.config.label_smoothing
        )
        self.done = self._resume()
        tail = _Tail(network)
        if job.config.compile:
            tail.compile()
        self.tail = team.join(tail)

    def run_epoch(self, epoch: int, progress: Progress) -> float:
        """One pass over every picture, each in one of its views; returns the mean loss."""
        self.network.train()
        steps = self.job.steps_per_epoch
        # Read once an epoch: each reading waits for a GPU.
        total = torch.zeros((), dtype=torch.float64, device=self.device.place)
        batches = prefetched(
            self._batches(epoch), lambda rows: self.job.train.mixed_batch(self.team.share(rows), epoch), WORKERS
        )
        for step, (rows, (arrays, frozen, truth)) in enumerate(batches, start=epoch * steps):
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * schedule(step, steps * self.job.config.epochs)
            # The weight of the whole batch, whatever this process's share of it; times the processes, whose gradients
            # are averaged, not added.
            weight = float(self.weights[self.job.train.labels[rows]].sum()) / self.team.world_size
            loss = self._loss(arrays, frozen, truth, step) / weight
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(list(self.open.values()), LARGEST_GRADIENT)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            total += loss.detach() / self.team.world_size * len(rows)
            progress.advance()
        if epoch >= self.job.config.epochs - max(1, round(self.job.config.epochs * AVERAGED)):
            self.averaged += 1
            for name, value in self.open.items():
                self.average[name] += value.detach()
        return self.team.total(float(total)) / len(self.job.train.keys)

    def close_epoch(self, epoch: int, loss: float) -> None:
        """Validate, and keep what there is."""
        row = {"epoch": epoch + 1, "loss": loss, "lr": self.optimizer.param_groups[0]["lr"]}
        if self.job.val.keys:
            answers = predicted(self.network, self.job.val, self.device, self.job.config.batch_size)
            row["val_loss"] = log_loss(softmax(answers), self.job.val.labels)
            row["val_accuracy"] = balanced_accuracy(answers, self.job.val.labels)
        self.history.append(row)
        self._save(epoch + 1)

    def _loss(self, arrays: npt.NDArray[np.float16], frozen: Floats, truth: Labels, step: int) -> torch.Tensor:
        """The summed cross-entropy of pictures; with mixup, of pairs of them mixed where the open stages start."""
        config, inputs, seen = self.job.config, _inputs(arrays, self.device), self.device.tensor(frozen)
        targets = [(1.0, self.device.tensor(truth))]
        if config.mixup:
            rng = np.random.default_rng((self.job.seed, step, 1, self.team.rank))
            share, order = float(rng.beta(config.mixup, config.mixup)), rng.permutation(len(truth))
            inputs, seen = (share * one + (1 - share) * one[order] for one in (inputs, seen))
            targets = [(share, targets[0][1]), (1 - share, targets[0][1][order])]
        with self.device.autocast():
            logits = self.tail(inputs, seen).float()
        return torch.stack([share * self.criterion(logits, labels) for share, labels in targets]).sum()

    def _batches(self, epoch: int) -> Iterator[Rows]:
        order = np.random.default_rng((self.job.seed, epoch)).permutation(len(self.job.train.keys))
        yield from np.array_split(order, self.job.steps_per_epoch)

    def _save(self, epochs_done: int) -> None:
        """Write the checkpoint, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(
            {
                "fingerprint": self.job.fingerprint,
                "epochs_done": epochs_done,
                "open": {name: value.detach() for name, value in self.open.items()},
                "average": self.average,
                "averaged": self.averaged,
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "history": self.history,
            },
            buffer,
        )
        write_atomic(self.job.checkpoint, buffer.getvalue(), durable=False)

    def _resume(self) -> int:
        """Take up the checkpoint, if there is one of this very job; returns the epochs that are done."""
        try:
            saved = read_torch_file(self.job.checkpoint, self.device.place)
        except ValueError:
            return 0  # none, or damaged by a power cut: it only costs the time to start over
        if saved.get("fingerprint") != self.job.fingerprint:
            return 0
        _copy_into(self.open, saved["open"])
        _copy_into(self.average, saved["average"])
        self.averaged = saved["averaged"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.history = saved["history"]
        return int(saved["epochs_done"])

    def take_average(self) -> None:
        """Give the network the mean of the weights that its last epochs ended with."""
        if self.averaged:
            _copy_into(self.open, {name: total / self.averaged for name, total in self.average.items()})


def schedule(step: int, steps: int) -> float:
    """The learning rate at a step (from 0) of `steps`, as a share of its peak: linear warm-up, then a cosine to 0."""
    warm = max(1, round(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))


def _parameter_groups(network: Network, config: TrainConfig) -> list[dict[str, Any]]:
    """The head, then each open stage from the last to the first, each at a fixed share of the next one's rate."""
    groups = [{"params": list(network.head.parameters()), "peak": config.head_lr, "lr": config.head_lr}]
    for depth, stage in enumerate(reversed(list(network.backbone.tail))):
        rate = config.backbone_lr * config.stage_decay**depth
        groups.append({"params": list(stage.parameters()), "peak": rate, "lr": rate})
    return groups


def _inputs(arrays: npt.NDArray[np.float16], device: Device) -> torch.Tensor:
    return device.tensor(arrays).float().contiguous(memory_format=torch.channels_last)


def _copy_into(targets: dict[str, Any], values: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            targets[name].copy_(value)
