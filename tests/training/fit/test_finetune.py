from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from torch import nn

from preprocessing.images.pixel_cache import PixelCache
from training.fit.cached_dataset import CachedPictures
from training.fit.finetune import Job, finetune, predicted, schedule
from training.network.backbone import Network, load_backbone, normalised
from training.network.device import choose_device
from training.network.features import Extractor
from training.network.views import Augmenter, clean_view, preset_for
from workspace.errors import ConfigError
from workspace.progress import SILENT
from workspace.storage.dataset import read_dataset

CPU = choose_device("cpu")
CLASSES = 3


class Stops:
    """Interrupts after so many steps, as a kill would."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.said: list[str] = []

    def begin(self, what, total):
        pass

    def advance(self, count=1):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt

    def say(self, message):
        self.said.append(message)


def fresh(config) -> Network:
    backbone, _ = load_backbone(config.train, config.seed)
    head = nn.Linear(backbone.width, CLASSES)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return CPU.put(Network(backbone, head))


@pytest.fixture
def config(settings):
    return settings(train__epochs=4, train__batch_size=6)


@pytest.fixture
def job(tmp_path, trainable, config):
    workspace = trainable("w")
    samples = read_dataset(workspace.latest_run().dataset_file)
    names = sorted({sample.label for sample in samples})
    backbone = fresh(config).backbone
    extractor = Extractor(workspace, config, backbone, CPU)
    augmenter = Augmenter(preset_for(5), config.augment)
    cached = extractor.extract_views([sample.sha256 for sample in samples], augmenter, SILENT)
    stores = (cached.activations, cached.features, backbone.frozen_width)
    parts = {}
    for split, views in (("train", config.features.views), ("val", 0)):
        chosen = [sample for sample in samples if sample.split == split]
        labels = np.array([names.index(sample.label) for sample in chosen])
        parts[split] = CachedPictures(tuple(sample.sha256 for sample in chosen), labels, *stores, views)
    return Job(parts["train"], parts["val"], config.train, CLASSES, config.seed, tmp_path / "checkpoint.pt", "this job")


def state_bytes(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, job, config, mixup):
    job = dataclasses.replace(job, config=config.train.model_copy(update={"mixup": mixup}))
    whole, broken = fresh(config), fresh(config)
    history = finetune(whole, job, CPU, SILENT)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    elsewhere = dataclasses.replace(job, checkpoint=tmp_path / "other.pt")
    with pytest.raises(KeyboardInterrupt):
        finetune(broken, elsewhere, CPU, Stops(8))  # 3 steps an epoch: in the third epoch
    resumed, listener = fresh(config), Stops(100)
    assert finetune(resumed, elsewhere, CPU, listener) == history
    assert listener.said == ["fine-tuning goes on after epoch 2"]
    assert listener.left == 100 - 2 * 3
    assert state_bytes(resumed) == state_bytes(whole)


def test_it_stops_when_told_to_and_a_resumed_run_does_too(tmp_path, job, config):
    whole, broken = fresh(config), fresh(config)

    def after_two(history):
        return len(history) == 2

    assert [row["epoch"] for row in finetune(whole, job, CPU, SILENT, after_two)] == [1, 2]
    elsewhere = dataclasses.replace(job, checkpoint=tmp_path / "other.pt")
    finetune(broken, elsewhere, CPU, SILENT, after_two)
    again = fresh(config)
    assert len(finetune(again, elsewhere, CPU, SILENT, after_two)) == 2
    assert state_bytes(whole) == state_bytes(broken) == state_bytes(again)


def test_only_the_tail_and_the_head_change_and_no_statistic_does(job, config):
    network = fresh(config)
    before = state_bytes(network)
    finetune(network, job, CPU, SILENT)
    changed = {name for name, value in state_bytes(network).items() if value != before[name]}
    assert {"head.weight", "head.bias", "backbone.stages.layer4.conv_head.weight"} <= changed
    assert not [
        name
        for name in changed
        if not name.startswith(("head.", "backbone.stages.layer4.")) or "running_" in name or "num_batches" in name
    ]


def test_of_the_open_stages_the_batch_norms_alone_can_be_trained(job, config):
    network = fresh(config)
    network.backbone.open(1, batch_norm_only=True)
    before = state_bytes(network)
    finetune(network, job, CPU, SILENT)
    changed = {name for name, value in state_bytes(network).items() if value != before[name]}
    norms = {
        f"backbone.stages.{name}.{kind}"
        for name, module in network.backbone.stages.named_modules()
        if isinstance(module, nn.BatchNorm2d) and name.startswith("layer4")
        for kind in ("weight", "bias")
    }
    assert changed == norms | {"head.weight", "head.bias"}


@pytest.mark.parametrize("option", ["mixup", "label_smoothing"])
def test_mixed_pictures_and_smoothed_labels_leave_a_loss_that_cannot_be_learnt_away(job, config, option):
    bold = config.train.model_copy(update={"epochs": 12, "head_lr": 0.1, "backbone_lr": 0.01})
    losses = []
    for changed in ({}, {option: 0.4}):
        own = dataclasses.replace(job, config=bold.model_copy(update=changed), fingerprint=str(changed))
        losses.append(finetune(fresh(config), own, CPU, SILENT)[-1]["loss"])
    assert losses[1] > losses[0] + 0.05


def test_it_learns_and_the_history_says_what_the_network_does(job, config):
    network = fresh(config)
    bold = config.train.model_copy(update={"epochs": 8, "head_lr": 0.1, "backbone_lr": 0.01})
    history = finetune(network, dataclasses.replace(job, config=bold), CPU, SILENT)
    assert history[-1]["loss"] < 0.8 * np.log(CLASSES)
    assert history[-1]["loss"] < history[0]["loss"]
    assert set(history[0]) == {"epoch", "loss", "val_loss", "val_accuracy", "lr"}
    assert predicted(network, job.val, CPU, 4).shape == (6, CLASSES)


def test_the_network_ends_as_the_mean_of_its_last_epochs(tmp_path, job, config):
    """Of six epochs the last two are averaged, each as its checkpoint held it."""
    longer = dataclasses.replace(job, config=config.train.model_copy(update={"epochs": 6}))
    ends = []

    class Watches:
        steps = 0

        def begin(self, what, total):
            pass

        def advance(self, count=1):
            self.steps += 1
            if self.steps in (15, 18):
                ends.append(network.head.weight.detach().clone())

        def say(self, message):
            pass

    network = fresh(config)
    finetune(network, longer, CPU, Watches())
    assert torch.allclose(network.head.weight, (ends[0] + ends[1]) / 2, atol=1e-7)
    assert not torch.equal(ends[0], ends[1])


@pytest.mark.parametrize("kind", ["another job", "damaged", "not torch"])
def test_a_checkpoint_that_does_not_serve_is_not_used(job, config, kind):
    whole = fresh(config)
    history = finetune(whole, job, CPU, SILENT)
    if kind == "another job":
        network = fresh(config)
        with pytest.raises(KeyboardInterrupt):
            finetune(network, dataclasses.replace(job, fingerprint="that job", seed=9), CPU, Stops(5))
    else:
        data = job.checkpoint.read_bytes()
        job.checkpoint.write_bytes(data[: len(data) // 2] if kind == "damaged" else b"hello")
    network, listener = fresh(config), Stops(100)
    assert finetune(network, job, CPU, listener) == history
    assert listener.said == []
    assert state_bytes(network) == state_bytes(whole)


def test_each_epoch_shows_every_picture_once_and_moves_its_view_on(job):
    rows = np.arange(len(job.train.keys))
    seen = [job.train.mixed_batch(rows, epoch) for epoch in range(2)]
    assert [sorted(labels.tolist()) for *_, labels in seen] == [sorted(job.train.labels.tolist())] * 2
    pictures = [{array.tobytes() for array in inputs} for inputs, *_ in seen]
    assert len(pictures[0]) == len(rows)
    assert not pictures[0] & pictures[1]


def test_the_schedule_rises_then_falls_to_nothing():
    rates = [schedule(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert all(one > two for one, two in zip(rates[9:], rates[10:], strict=False))
    assert 0 < rates[-1] < 0.001
    assert schedule(0, 1) == 1.0


def test_training_on_the_cache_is_training_on_the_pictures(job, config, trainable):
    """The frozen stages run anew at every step, in place of their cached activations in float16."""
    cached, live = fresh(config), fresh(config)
    clean = dataclasses.replace(job, train=dataclasses.replace(job.train, views=0))
    finetune(cached, clean, CPU, SILENT)

    workspace = trainable("live")
    pixels, spec = PixelCache(workspace, config.clean), live.backbone.spec

    class Runs:
        def __init__(self, part):
            self.part = part

        def get(self, names):
            views = np.stack([clean_view(pixels.read(name.split(":")[0])) for name in names])
            with torch.inference_mode():
                return live.backbone.run(normalised(torch.from_numpy(views), spec.mean, spec.std))[self.part].numpy()

    parts = {
        part: dataclasses.replace(getattr(clean, part), activations=Runs(0), features=Runs(1))
        for part in ("train", "val")
    }
    finetune(live, dataclasses.replace(clean, checkpoint=job.checkpoint.with_name("live.pt"), **parts), CPU, SILENT)
    for name, value in live.state_dict().items():
        assert torch.allclose(value, cached.state_dict()[name], atol=1e-4), name


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_two_processes_learn_what_one_learns(tmp_path, job, config, smoothing):
    """Unbalanced classes, and batches that do not part evenly, so that the shares weigh differently."""
    kept = np.sort(np.concatenate([np.flatnonzero(job.train.labels > 0), np.flatnonzero(job.train.labels == 0)[:1]]))
    few = dataclasses.replace(job.train, keys=tuple(job.train.keys[row] for row in kept), labels=job.train.labels[kept])
    counts = np.bincount(few.labels)
    assert counts.max() > 1.5 * counts.min()
    assert len(kept) % 2
    ends, histories = [], []
    for processes in (1, 2):
        own = config.train.model_copy(update={"processes": processes, "label_smoothing": smoothing, "epochs": 2})
        network = fresh(config)
        part = dataclasses.replace(job, train=few, config=own, checkpoint=tmp_path / f"{processes}.pt")
        histories.append(finetune(network, part, CPU, SILENT))
        ends.append(network.state_dict())
    for one, two in zip(*histories, strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    for name, value in ends[0].items():
        assert torch.allclose(value, ends[1][name], atol=1e-5), name


def test_more_processes_than_pictures_in_a_batch_are_refused(job, config):
    many = dataclasses.replace(job, config=config.train.model_copy(update={"processes": 9}))
    with pytest.raises(ConfigError, match=r"train\.processes = 9, but a batch has only 5"):
        finetune(fresh(config), many, CPU, SILENT)


def test_the_open_stages_can_be_compiled(monkeypatch, tmp_path, job, config):
    """As torch.compile cuts them out, but without its code generator, which takes a minute."""
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend=backend))
    plain, compiled = fresh(config), fresh(config)
    history = finetune(plain, job, CPU, SILENT)
    own = dataclasses.replace(
        job, config=config.train.model_copy(update={"compile": True}), checkpoint=tmp_path / "compiled.pt"
    )
    assert finetune(compiled, own, CPU, SILENT) == history
    assert seen
    assert state_bytes(plain) == state_bytes(compiled)
