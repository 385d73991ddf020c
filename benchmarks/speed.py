"""Pictures per second of the feature step, of augmentation and of fine-tuning, against what bounds them.

    python -m benchmarks.speed [--backbone efficientnet_lite0] [--pictures 192] [--runs 3] [--device cpu]

Weights are random: the speed does not depend on them. Fine-tuning is compared with the same code on views that lie in
the device's memory, and with a bare loop on them, which clips no gradient, sums no loss and writes no checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

from preprocessing.images.pixel_cache import PixelCache
from training.fit.finetune import Job, TunedNetwork, finetune
from training.network.backbone import load_backbone, normalised
from training.network.device import Device, choose_device
from training.network.features import Extractor
from training.network.stages import with_folded_batch_norm
from training.network.view_source import ViewSource
from training.network.views import PRESETS, Augmenter, clean_view
from workspace.config.model import WorkspaceConfig, parse_config
from workspace.progress import SILENT
from workspace.storage.paths import Workspace

CLASSES = 5


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--pictures", type=int, default=192, help="a multiple of 16, the batch size")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--runs", type=int, default=1, help="of fine-tuning and its peers in turn; medians are shown")
    given = parser.parse_args()
    settings = {"train.backbone": given.backbone, "train.weights": "random", "train.epochs": 1}
    config = parse_config('[classes]\na = "a"\nb = "b"', "speed", settings)
    if given.pictures % config.train.batch_size:
        parser.error(f"--pictures must be a multiple of {config.train.batch_size}, so that all batches are alike")
    device = choose_device(given.device)
    with tempfile.TemporaryDirectory() as folder:
        workspace, keys = drawn(Path(folder), config, given.pictures)
        cold, bare = feature_step(workspace, config, keys, device)
        print(f"feature step                {cold:8.1f} pictures/s, {cold / bare:.2f} of the bare forward ({bare:.1f})")
        print(f"augmentation, one thread    {augmentation(workspace, config, keys):8.1f} pictures/s")
        print(
            f"frozen half, batch norm folded into convolutions {folding(workspace, config, keys, device):.2f} as fast"
        )
        for name, stages in (("last half", 2), ("every stage", 4)):
            rows = [in_turn(workspace, config, keys, device, stages) for _ in range(given.runs)]
            tuned, same, bare = np.median(rows, axis=0)
            print(
                f"fine-tuning, {name:11}    {tuned:8.1f} pictures/s, {tuned / same:.2f} of the same loop on views "
                f"that are on the device already ({same:.1f}), {tuned / bare:.2f} of a bare loop on them ({bare:.1f})"
            )


def in_turn(
    workspace: Workspace, config: WorkspaceConfig, keys: list[str], device: Device, stages: int
) -> tuple[float, float, float]:
    """Pictures per second of fine-tuning, of the same code on views in the device's memory, and of a bare loop."""
    tuned = finetuning(workspace, config, keys, device, stages)
    with views_in_memory_of(device, workspace, config, keys):
        same = finetuning(workspace, config, keys, device, stages)
    return tuned, same, bare_loop(workspace, config, keys, device, stages)


def drawn(folder: Path, config: WorkspaceConfig, count: int) -> tuple[Workspace, list[str]]:
    """A workspace with so many noisy pictures in its pixel cache."""
    workspace, keys = Workspace(folder), []
    cache, rng = PixelCache(workspace, config.clean), np.random.default_rng(0)
    for _ in range(count):
        coarse = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)
        pixels = np.ascontiguousarray(coarse.repeat(16, 0).repeat(16, 1))
        keys.append(hashlib.sha256(pixels.tobytes()).hexdigest())
        cache.write(keys[-1], pixels)
    return workspace, keys


def rate(count: int, work: Callable[[], object]) -> float:
    """Pictures per second."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return count / (time.perf_counter() - began)


def feature_step(workspace: Workspace, config: WorkspaceConfig, keys: list[str], device: Device) -> tuple[float, float]:
    """With reading, cropping and writing; and the network alone on inputs that are there."""
    backbone, _ = load_backbone(config.train, 0)
    extractor = Extractor(workspace, config, backbone, device)
    views = [clean_view(PixelCache(workspace, config.clean).read(key)) for key in keys]
    size = config.features.batch_size

    def bare() -> None:
        for start in range(0, len(views), size):
            inputs = device.tensor(np.stack(views[start : start + size]))
            with torch.inference_mode(), device.autocast():
                backbone(normalised(inputs, backbone.spec.mean, backbone.spec.std)).float().cpu()

    bare()  # warm
    before = rate(len(keys), bare)
    cold = rate(len(keys), lambda: extractor.extract_clean(keys, SILENT))
    return cold, max(before, rate(len(keys), bare))


def augmentation(workspace: Workspace, config: WorkspaceConfig, keys: list[str]) -> float:
    """Views made from the pixel cache."""
    cache, augmenter = PixelCache(workspace, config.clean), Augmenter(PRESETS[config.augment.strength], config.augment)
    return rate(len(keys), lambda: [augmenter.view(cache.read(key), (0, 1, key)) for key in keys])


def job_of(
    workspace: Workspace, config: WorkspaceConfig, keys: list[str], device: Device, stages: int, checkpoint: Path
) -> tuple[TunedNetwork, Job]:
    """Fine-tuning of the last stages: an epoch to warm up, and those that are measured."""
    backbone, _ = load_backbone(config.train, 0)
    frozen = backbone.stages[: len(backbone.stages) - stages]
    augmenter = Augmenter(PRESETS[config.augment.strength], config.augment, backbone.spec.crop_px)
    network = TunedNetwork(backbone.copy_of_last(stages), nn.Linear(backbone.spec.feature_dim, CLASSES))
    job = Job(
        keys=tuple(keys),
        labels=np.arange(len(keys)) % CLASSES,
        classes=CLASSES,
        views=ViewSource(PixelCache(workspace, config.clean), augmenter, backbone.spec, 0),
        frozen=device.put(with_folded_batch_norm(frozen, backbone.spec.crop_px)),
        config=config.train,
        epochs=1 + epochs_on(device),
        seed=0,
        workers=device.view_workers(config.features.workers),
        checkpoint=checkpoint,
        fingerprint="speed",
    )
    return device.put(network), job


def epochs_on(device: Device) -> int:
    """How many epochs are measured: one takes a GPU no time."""
    return 1 if device.torch_device.type == "cpu" else 8


def finetuning(workspace: Workspace, config: WorkspaceConfig, keys: list[str], device: Device, stages: int) -> float:
    """As train does it, from the pixel cache, after an epoch that starts processes and warms up the device."""
    began: list[float] = []

    def note_epoch() -> bool:
        began.append(time.perf_counter())
        return False

    with tempfile.TemporaryDirectory() as scratch:
        network, job = job_of(workspace, config, keys, device, stages, Path(scratch) / "checkpoint.pt")
        finetune(network, job, device, SILENT, note_epoch)
    return len(keys) * (job.epochs - 1) / (time.perf_counter() - began[1])


@contextmanager
def views_in_memory_of(
    device: Device, workspace: Workspace, config: WorkspaceConfig, keys: list[str]
) -> Generator[None]:
    """Let fine-tuning take every batch from the device's memory: the first pictures' views, again and again."""
    job = job_of(workspace, config, keys, device, 2, Path())[1]
    views = device.tensor(job.views.augmented(keys[: config.train.batch_size], 0))

    def at_once(wanted: Sequence[Any], _make: object, _workers: object) -> Generator[tuple[Any, None]]:
        yield from ((item, None) for item in wanted)

    def inputs(_views: None, job: Job, _device: Device) -> torch.Tensor:
        return normalised(views, job.views.spec.mean, job.views.spec.std)

    with mock.patch.multiple("training.fit.finetune", prefetched=at_once, _inputs=inputs):
        yield


def bare_loop(workspace: Workspace, config: WorkspaceConfig, keys: list[str], device: Device, stages: int) -> float:
    """Forward, backward and step on batches of views that were made and moved to the device before."""
    network, job = job_of(workspace, config, keys, device, stages, Path())
    size, spec, batches = config.train.batch_size, job.views.spec, []
    for start in range(0, len(keys), size):
        views = device.tensor(job.views.augmented(keys[start : start + size], 0))
        batches.append((views, device.tensor(job.labels[start : start + size])))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)

    def epochs(count: int) -> None:
        for views, labels in batches * count:
            with torch.no_grad(), device.autocast():
                activations = job.frozen(normalised(views, spec.mean, spec.std))
            with device.autocast():
                logits = network(activations).float()
            loss = nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    epochs(1)  # warm
    return rate(len(keys) * (job.epochs - 1), lambda: epochs(job.epochs - 1))


def folding(workspace: Workspace, config: WorkspaceConfig, keys: list[str], device: Device) -> float:
    """How many times as fast the frozen half runs with its batch norm folded into the convolutions."""
    backbone, _ = load_backbone(config.train, 0)
    half, spec = backbone.stages[:2], backbone.spec
    cache = PixelCache(workspace, config.clean)
    views = device.tensor(np.stack([clean_view(cache.read(key)) for key in keys[:32]]))

    def run(stages: nn.Sequential) -> None:
        with torch.no_grad(), device.autocast():
            stages(normalised(views, spec.mean, spec.std))

    rates = []
    for stages in (half, with_folded_batch_norm(half, spec.crop_px)):
        device.put(stages)
        run(stages)  # warm
        rates.append(max(rate(len(views), lambda stages=stages: run(stages)) for _ in range(3)))  # type: ignore[misc]
    return rates[1] / rates[0]


if __name__ == "__main__":
    main()
