"""Fine-tuning: a copy of the last stages and its head, trained on fresh views that the frozen stages have seen."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.fit.distributed import Team, check_world_size, team_of
from training.fit.schedule import learning_rate
from training.network.backbone import normalised
from training.network.device import Device
from training.network.prefetch import Workers, prefetched
from training.network.registry import read_torch_file
from training.network.view_source import ViewSource
from training.stats.scores import Floats, Labels, class_weights
from workspace.config.train import TrainConfig
from workspace.errors import ConfigError
from workspace.files.atomic import write_atomic
from workspace.progress import SILENT, Progress

Rows = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Epochs = list[dict[str, float]]

LARGEST_GRADIENT = 5.0
"""Norm to which a step's gradient is clipped: batch norm that is frozen does not tame the steps."""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One fine-tuning: what to learn from, how, and the file that lets it go on after a kill.

    Attributes:
        keys: sha256 of the images to learn from, n of them.
        labels: int64 [n].
        classes: how many.
        views: makes the images' views.
        frozen: the stages before those that are trained: inputs to activations; none where all are trained.
        config: rates, batch size and the like.
        epochs: passes over the images.
        rate: share of the configured learning rates at the peak.
        first_view: number of the first epoch's views, so that a second job on the same images draws other ones.
        seed: of the order of the images, and of mixup.
        workers: who makes views ready; no result depends on them.
        checkpoint: written after every epoch.
        fingerprint: names everything that the result depends on; a checkpoint with another one is not used.
    """

    keys: tuple[str, ...]
    labels: Labels
    classes: int
    views: ViewSource
    frozen: nn.Sequential
    config: TrainConfig
    epochs: int
    seed: int
    workers: Workers
    checkpoint: Path
    fingerprint: str
    rate: float = 1.0
    first_view: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, which differ in size by one image at most."""
        return math.ceil(len(self.keys) / self.config.batch_size)

    @property
    def steps(self) -> int:
        """Batches in all."""
        return self.steps_per_epoch * self.epochs


class TunedNetwork(nn.Module):
    """What is trained: activations of the frozen stages to logits; all in eval mode, so that batch norm is frozen.

    Args:
        stages: copy of a backbone's last stages, to pooled features.
        head: on these.
        batch_norm_only: of the stages only the batch norms' scales and shifts are trained.

    Raises:
        ConfigError: the stages have no batch norm, which alone was to be trained.
    """

    def __init__(self, stages: nn.Sequential, head: nn.Linear, batch_norm_only: bool = False) -> None:
        super().__init__()
        self.stages = stages.requires_grad_(not batch_norm_only)
        self.head = head
        if batch_norm_only:
            norms = [module for module in stages.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
            if not norms:
                raise ConfigError(
                    f"the last {len(stages)} stages have no batch norm; set train.batch_norm_only = false"
                )
            for norm in norms:
                norm.requires_grad_(True)
        self.eval()

    def forward(self, activations: torch.Tensor) -> torch.Tensor:
        """Activations to logits [n, classes]."""
        logits: torch.Tensor = self.head(self.stages(activations))
        return logits


def finetune(
    network: TunedNetwork, job: Job, device: Device, progress: Progress, stop: Callable[[], bool] = lambda: False
) -> Epochs:
    """Train a network in place; no statistic of a batch norm changes.

    Every draw comes from (seed, epoch) and (seed, epoch, sha256), and each epoch ends in a checkpoint, so that on a CPU
    an interrupted and resumed run equals a whole one bit for bit.

    Args:
        network: on the device.
        job: what to learn.
        device: where to compute.
        progress: told of every step.
        stop: asked before every epoch whether to end here; a network with fewer rows than epochs is not finished.

    Returns:
        One row per epoch: epoch (from 1), loss, lr (of the head).

    Raises:
        ConfigError: there are more processes than GPUs, or than images in a batch.
        WorkspaceError: another process failed.
    """
    processes = job.config.processes
    check_world_size(processes, device, [len(job.keys)], job.config.batch_size)
    with team_of(processes, device, _follow, network, job) as team:
        return _train(network, job, team, progress, stop)


def _follow(team: Team, network: TunedNetwork, job: Job) -> None:
    team.device.put(job.frozen)
    _train(team.device.put(network), job, team, SILENT, lambda: False)


def _train(network: TunedNetwork, job: Job, team: Team, progress: Progress, stop: Callable[[], bool]) -> Epochs:
    state = _Training(network, job, team)
    if state.done:
        progress.say(f"fine-tuning goes on after epoch {state.done}")
    progress.begin("Fine-tuning", (job.epochs - state.done) * job.steps_per_epoch)
    with closing(state.batches_with_views()) as batches:
        for epoch in range(state.done, job.epochs):
            if team.decided(stop()):
                break
            loss = state.run_epoch(epoch, islice(batches, job.steps_per_epoch), progress)
            if team.is_rank_0:
                state.close_epoch(epoch, loss)
    return state.history


def predicted(network: TunedNetwork, job: Job, keys: Sequence[str], device: Device) -> Floats:
    """Logits of the clean views of some images, float32 [n, classes]."""
    size = job.config.batch_size
    batches = [keys[start : start + size] for start in range(0, len(keys), size)]
    logits = []
    for _, views in prefetched(batches, job.views.clean, job.workers):
        with torch.inference_mode(), device.autocast():
            logits.append(network(job.frozen(_inputs(views, job, device))).float().cpu().numpy())
    return np.concatenate(logits)


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Rows of the job's images, and the sha256 of this process's share of them with the number of their view."""

    rows: Rows
    view: int
    keys: tuple[str, ...]


class _Training:
    """What changes while training, and how it is kept."""

    def __init__(self, network: TunedNetwork, job: Job, team: Team) -> None:
        self.job, self.team, self.device = job, team, team.device
        self.history: Epochs = []
        self.trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
        self.optimizer = torch.optim.SGD(
            _parameter_groups(network, job.config, job.rate),
            momentum=job.config.momentum,
            weight_decay=job.config.weight_decay,
        )
        self.scaler = self.device.scaler()
        self.weights = class_weights(job.labels, job.classes).astype(np.float32)
        self.criterion = nn.CrossEntropyLoss(
            self.device.tensor(self.weights), reduction="sum", label_smoothing=job.config.label_smoothing
        )
        self.done = self._resume()
        if job.config.compile:
            network.compile()
        self.network = team.join(network)

    def batches_with_views(self) -> Generator[tuple[_Batch, Pixels]]:
        """Every batch of the epochs that are left, with the views of this process's share of it, made ahead."""
        keys, share = self.job.keys, self.team.share
        wanted = [
            _Batch(rows, self.job.first_view + epoch, tuple(keys[row] for row in share(rows)))
            for epoch in range(self.done, self.job.epochs)
            for rows in self._rows(epoch)
        ]
        return prefetched(wanted, partial(_augmented, self.job.views), self.job.workers)

    def run_epoch(self, epoch: int, batches: Iterable[tuple[_Batch, Pixels]], progress: Progress) -> float:
        """One pass over every image, each in a view of its own; returns the mean loss."""
        job = self.job
        # Read once an epoch: each reading waits for a GPU.
        total = torch.zeros((), dtype=self.device.sum_dtype, device=self.device.torch_device)
        for step, (batch, views) in enumerate(batches, start=epoch * job.steps_per_epoch):
            rows = batch.rows
            for group in self.optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate(step, job.steps)
            # The weight of the whole batch, whatever this process's share of it; times the processes, whose gradients
            # are averaged, not added.
            weight = float(self.weights[job.labels[rows]].sum()) / self.team.world_size
            loss = self._loss(views, job.labels[self.team.share(rows)], step) / weight
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(list(self.trained.values()), LARGEST_GRADIENT)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            total += loss.detach() / self.team.world_size * len(rows)
            progress.advance()
        return self.team.total(float(total)) / len(job.keys)

    def close_epoch(self, epoch: int, loss: float) -> None:
        """Keep what there is."""
        self.history.append({"epoch": epoch + 1, "loss": loss, "lr": self.optimizer.param_groups[0]["lr"]})
        self._save(epoch + 1)

    def _loss(self, views: Pixels, truth: Labels, step: int) -> torch.Tensor:
        """The summed cross-entropy of images; with mixup, of pairs of them mixed where the trained stages start."""
        config, targets = self.job.config, [(1.0, self.device.tensor(truth))]
        with torch.no_grad(), self.device.autocast():
            activations = self.job.frozen(_inputs(views, self.job, self.device))
        if config.mixup:
            rng = np.random.default_rng((self.job.seed, step, 1, self.team.rank))
            share, order = float(rng.beta(config.mixup, config.mixup)), rng.permutation(len(truth))
            activations = share * activations + (1 - share) * activations[order]
            targets = [(share, targets[0][1]), (1 - share, targets[0][1][order])]
        with self.device.autocast():
            logits = self.network(activations).float()
        return torch.stack([share * self.criterion(logits, labels) for share, labels in targets]).sum()

    def _rows(self, epoch: int) -> list[Rows]:
        order = np.random.default_rng((self.job.seed, epoch)).permutation(len(self.job.keys))
        return np.array_split(order, self.job.steps_per_epoch)

    def _save(self, epochs_done: int) -> None:
        """Write the checkpoint, whole or not at all."""
        buffer = io.BytesIO()
        torch.save(
            {
                "fingerprint": self.job.fingerprint,
                "epochs_done": epochs_done,
                "trained": {name: value.detach() for name, value in self.trained.items()},
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
            saved = read_torch_file(self.job.checkpoint, self.device.torch_device)
        except ValueError:
            return 0  # none, or damaged by a power cut: it only costs the time to start over
        if saved.get("fingerprint") != self.job.fingerprint:
            return 0
        with torch.no_grad():
            for name, value in saved["trained"].items():
                self.trained[name].copy_(value)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.history = saved["history"]
        return int(saved["epochs_done"])


def _parameter_groups(network: TunedNetwork, config: TrainConfig, share: float) -> list[dict[str, Any]]:
    """The head, then each stage from the last to the first, each at a fixed share of the next one's rate."""
    rate = config.head_lr * share
    groups = [{"params": list(network.head.parameters()), "peak": rate, "lr": rate}]
    for depth, stage in enumerate(reversed(list(network.stages))):
        rate = config.backbone_lr * config.stage_decay**depth * share
        groups.append({"params": list(stage.parameters()), "peak": rate, "lr": rate})
    return groups


def _augmented(views: ViewSource, batch: _Batch) -> Pixels:
    return views.augmented(batch.keys, batch.view)


def _inputs(views: Pixels, job: Job, device: Device) -> torch.Tensor:
    return normalised(device.tensor(views), job.views.spec.mean, job.views.spec.std)
