"""Pictures per second of the feature step, of augmentation and of fine-tuning, against what bounds them.

    python -m benchmarks.speed [--backbone efficientnet_lite0] [--pictures 192] [--device cpu]

Weights are random: the speed does not depend on them. On a GPU the training loop is also compared with the same loop
on data that is on the device already; without one a line says that this was skipped.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from preprocessing.images.pixel_cache import PixelCache
from training.fit.cached_dataset import CachedPictures
from training.fit.finetune import Job, finetune
from training.network.backbone import Network, load_backbone, normalised
from training.network.device import Device, choose_device
from training.network.features import Extractor
from training.network.views import Augmenter, clean_view, preset_for
from workspace.config.model import WorkspaceConfig, parse_config
from workspace.progress import SILENT
from workspace.storage.paths import Workspace

CLASSES = 5


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--pictures", type=int, default=192)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    given = parser.parse_args()
    settings = {"train.backbone": given.backbone, "train.weights": "random", "train.epochs": 1, "features.views": 1}
    config = parse_config('[classes]\na = "a"\nb = "b"', "speed", settings)
    device = choose_device(given.device)
    with tempfile.TemporaryDirectory() as folder:
        workspace, keys = drawn(Path(folder), config, given.pictures)
        cold, bare = feature_step(workspace, config, keys, device)
        print(f"feature step                {cold:8.1f} pictures/s, {cold / bare:.2f} of the bare forward ({bare:.1f})")
        print(f"augmentation, one thread    {augmentation(workspace, config, keys):8.1f} pictures/s")
        cached, live, whole = (
            finetuning(workspace, config, keys, device, kind) for kind in ("cached", "live", "whole")
        )
        print(f"last stage from the cache   {cached:8.1f} pictures/s")
        print(f"last stage, prefix re-run   {live:8.1f} pictures/s: the cache is {cached / live:.1f} times as fast")
        print(f"the whole network           {whole:8.1f} pictures/s: the cache is {cached / whole:.1f} times as fast")
        if device.place.type == "cuda":
            resident = finetuning(workspace, config, keys, device, "resident")
            print(
                f"data on the GPU already     {resident:8.1f} pictures/s: the loop is at {cached / resident:.2f} of it"
            )
        else:
            print("no GPU here: the loop was not compared with one whose data is on the device already")


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
    cache, augmenter = PixelCache(workspace, config.clean), Augmenter(preset_for(30), config.augment)
    return rate(len(keys), lambda: [augmenter.view(cache.read(key), (0, 1, key)) for key in keys])


def finetuning(workspace: Workspace, config: WorkspaceConfig, keys: list[str], device: Device, kind: str) -> float:
    """One epoch: `cached` activations, a `live` frozen part, the `whole` network, or data `resident` on the device."""
    backbone, _ = load_backbone(config.train, 0)
    backbone.open(len(backbone.stages) if kind == "whole" else 1)
    network = device.put(Network(backbone, nn.Linear(backbone.width, CLASSES)))
    labels = np.arange(len(keys)) % CLASSES
    extractor = Extractor(workspace, config, backbone, device)
    views = extractor.extract_views(keys, Augmenter(preset_for(30), config.augment), SILENT)
    assert views.activations is not None
    cached = (views.activations, views.features, backbone.frozen_width)
    pictures = CachedPictures(tuple(keys), labels, *cached, 1)
    if kind == "live":
        return rate(len(keys), lambda: live_epoch(workspace, config, keys, network, device))
    if kind == "resident":
        return rate(len(keys), lambda: resident_epoch(network, pictures, config.train.batch_size, device))
    with tempfile.TemporaryDirectory() as scratch:
        nobody = CachedPictures((), labels[:0], *cached)
        job = Job(pictures, nobody, config.train, CLASSES, 0, Path(scratch) / "checkpoint.pt", "speed")
        return rate(len(keys), lambda: finetune(network, job, device, SILENT))


def step(network: Network, features: torch.Tensor, labels: torch.Tensor, optimizer: torch.optim.SGD) -> None:
    """From the features backward, and update; what `finetune` does at each step."""
    loss = nn.functional.cross_entropy(network.head(features).float(), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def live_epoch(
    workspace: Workspace, config: WorkspaceConfig, keys: list[str], network: Network, device: Device
) -> None:
    """The frozen stages run anew for every picture, as without a cache of activations."""
    cache, spec, size = PixelCache(workspace, config.clean), network.backbone.spec, config.train.batch_size
    optimizer = torch.optim.SGD([one for one in network.parameters() if one.requires_grad], lr=0.001, momentum=0.9)
    network.train()
    for start in range(0, len(keys), size):
        views = np.stack([clean_view(cache.read(key)) for key in keys[start : start + size]])
        labels = device.tensor(np.arange(len(views)) % CLASSES)
        step(network, network.backbone(normalised(device.tensor(views), spec.mean, spec.std)), labels, optimizer)


def resident_epoch(network: Network, pictures: CachedPictures, size: int, device: Device) -> None:
    """The same steps on batches that were moved to the device before."""
    batches = []
    for rows in np.array_split(np.arange(len(pictures.keys)), -(-len(pictures.keys) // size)):
        arrays = pictures.mixed_batch(rows, 0)
        inputs, frozen, labels = (device.tensor(array) for array in arrays)
        batches.append((inputs.float().contiguous(memory_format=torch.channels_last), frozen, labels))
    optimizer = torch.optim.SGD([one for one in network.parameters() if one.requires_grad], lr=0.001, momentum=0.9)
    network.train()
    for inputs, frozen, labels in batches:
        with device.autocast():
            step(network, network.backbone.resume(inputs, frozen), labels, optimizer)


if __name__ == "__main__":
    main()
