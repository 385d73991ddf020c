from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from training.fit.finetune import TunedNetwork, finetune, predicted
from training.fit.schedule import epochs_for, last_epochs, learning_rate
from training.network import prefetch
from training.network.device import Device, choose_device
from training.network.prefetch import Workers
from training.network.view_source import ViewSource
from workspace.errors import ConfigError
from workspace.progress import SILENT

CPU = choose_device("cpu")
of_a_real_network = pytest.mark.parametrize("config", ["efficientnet_lite0"], indirect=True)
"""What learns needs a network whose random features tell pictures apart."""


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


def with_config(job, **changes):
    return dataclasses.replace(job, config=job.config.model_copy(update=changes))


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, job, config, mixup, fresh, state_bytes):
    job = with_config(job, mixup=mixup)
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


def test_no_number_depends_on_who_makes_the_views(tmp_path, job, config, fresh, state_bytes, monkeypatch):
    monkeypatch.setattr(prefetch, "WORTH_PROCESSES", 1)
    ends = []
    for count, workers in enumerate((Workers(0), Workers(1), Workers(1, processes=True))):
        network = fresh(config)
        own = dataclasses.replace(job, workers=workers, epochs=1, checkpoint=tmp_path / f"{count}.pt")
        history = finetune(network, own, CPU, SILENT)
        ends.append((history, state_bytes(network), predicted(network, own, job.keys[:5], CPU).tobytes()))
    assert ends[0] == ends[1] == ends[2]


def test_it_stops_when_told_to_and_goes_on_from_there(tmp_path, job, config, fresh, state_bytes):
    whole, stopped = fresh(config), fresh(config)
    history = finetune(whole, job, CPU, SILENT)
    elsewhere, asked = dataclasses.replace(job, checkpoint=tmp_path / "other.pt"), iter([False, False, True])
    assert finetune(stopped, elsewhere, CPU, SILENT, lambda: next(asked)) == history[:2]
    again = fresh(config)
    assert finetune(again, elsewhere, CPU, SILENT) == history
    assert state_bytes(again) == state_bytes(whole)


@of_a_real_network
def test_the_frozen_stages_do_not_change_and_no_statistic_does(job, config, fresh, state_bytes):
    network = fresh(config)
    before, frozen = state_bytes(network), state_bytes(job.frozen)
    finetune(network, dataclasses.replace(job, epochs=1), CPU, SILENT)
    changed = {name for name, value in state_bytes(network).items() if value != before[name]}
    assert {"head.weight", "head.bias", "stages.layer4.conv_head.weight"} <= changed
    assert not [name for name in changed if "running_" in name or "num_batches" in name]
    assert state_bytes(job.frozen) == frozen


@of_a_real_network
def test_the_batch_norms_alone_can_be_trained(job, config, fresh, state_bytes):
    network = fresh(config, batch_norm_only=True)
    before = state_bytes(network)
    finetune(network, dataclasses.replace(job, epochs=1), CPU, SILENT)
    changed = {name for name, value in state_bytes(network).items() if value != before[name]}
    norms = {
        f"stages.{name}.{kind}"
        for name, module in network.stages.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for kind in ("weight", "bias")
    }
    assert changed == norms | {"head.weight", "head.bias"}
    with pytest.raises(ConfigError, match="no batch norm.*train.batch_norm_only = false"):
        TunedNetwork(nn.Sequential(nn.Linear(3, 3)), nn.Linear(3, 2), batch_norm_only=True)


@of_a_real_network
@pytest.mark.parametrize("option", ["mixup", "label_smoothing"])
def test_mixed_pictures_and_smoothed_labels_leave_a_loss_that_cannot_be_learnt_away(job, config, option, fresh):
    losses = []
    for changed in ({}, {option: 0.4}):
        own = with_config(job, head_lr=0.003, backbone_lr=0.0003, **changed)
        own = dataclasses.replace(own, epochs=12, fingerprint=str(changed))
        losses.append(finetune(fresh(config), own, CPU, SILENT)[-1]["loss"])
    assert losses[1] > losses[0] + 0.05


@of_a_real_network
def test_it_learns_and_answers_pictures_that_it_has_not_seen(job, config, fresh):
    rows = np.arange(len(job.keys)) % 5 > 0
    part = dataclasses.replace(
        with_config(job, head_lr=0.003, backbone_lr=0.0003),
        keys=tuple(np.array(job.keys)[rows].tolist()),
        labels=job.labels[rows],
        epochs=12,
    )
    network = fresh(config)
    history = finetune(network, part, CPU, SILENT)
    assert history[-1]["loss"] < min(0.8 * np.log(job.classes), history[0]["loss"])
    assert set(history[0]) == {"epoch", "loss", "lr"}
    assert predicted(network, part, np.array(job.keys)[~rows].tolist(), CPU).shape == (3, job.classes)


@pytest.mark.parametrize("kind", ["another job", "damaged", "not torch"])
def test_a_checkpoint_that_does_not_serve_is_not_used(job, config, kind, fresh, state_bytes):
    job = dataclasses.replace(job, epochs=2)
    whole = fresh(config)
    history = finetune(whole, job, CPU, SILENT)
    if kind == "another job":
        with pytest.raises(KeyboardInterrupt):
            finetune(fresh(config), dataclasses.replace(job, fingerprint="that job", seed=9), CPU, Stops(5))
    else:
        data = job.checkpoint.read_bytes()
        job.checkpoint.write_bytes(data[: len(data) // 2] if kind == "damaged" else b"hello")
    network, listener = fresh(config), Stops(100)
    assert finetune(network, job, CPU, listener) == history
    assert listener.said == []
    assert state_bytes(network) == state_bytes(whole)


def test_each_epoch_draws_a_view_of_its_own_of_every_picture(job):
    views = [job.views.augmented(job.keys, epoch) for epoch in range(2)]
    assert len({view.tobytes() for epoch in views for view in epoch}) == 2 * len(job.keys)
    assert np.array_equal(job.views.augmented(job.keys[3:4], 1)[0], views[1][3])


def test_a_job_may_draw_later_views_at_a_share_of_the_rate(tmp_path, job, config, fresh):
    later = dataclasses.replace(job, epochs=1, first_view=2, rate=0.5, checkpoint=tmp_path / "later.pt")
    drawn = []

    class Recorded(ViewSource):
        def augmented(self, keys, epoch):
            drawn.append(epoch)
            return super().augmented(keys, epoch)

    source = Recorded(job.views.pixels, job.views.augmenter, job.views.spec, job.views.seed)
    rows = finetune(fresh(config), dataclasses.replace(later, views=source), CPU, SILENT)
    assert set(drawn) == {2}
    whole = finetune(fresh(config), dataclasses.replace(job, epochs=1), CPU, SILENT)
    assert rows[-1]["lr"] == pytest.approx(whole[-1]["lr"] / 2)


def test_the_learning_rate_rises_then_falls_to_nothing():
    rates = [learning_rate(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert all(one > two for one, two in zip(rates[9:], rates[10:], strict=False))
    assert 0 < rates[-1] < 0.001
    assert learning_rate(0, 1) == 1.0


def test_more_pictures_get_fewer_epochs():
    counts = [15, 200, 400, 800, 1_200, 100_000]
    assert [epochs_for(count) for count in counts] == [12, 12, 12, 6, 4, 4]
    every = [epochs_for(count) for count in range(2, 3_000)]
    assert all(one >= two for one, two in zip(every, every[1:], strict=False))
    assert [last_epochs(epochs) for epochs in (1, 2, 4, 12)] == [1, 1, 1, 4]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_two_processes_learn_what_one_learns(tmp_path, job, config, smoothing, fresh):
    """Unbalanced classes, and batches that do not part evenly, so that the shares weigh differently."""
    kept = np.sort(np.concatenate([np.flatnonzero(job.labels > 0), np.flatnonzero(job.labels == 0)[:1]]))
    few = dataclasses.replace(
        with_config(job, label_smoothing=smoothing),
        keys=tuple(job.keys[row] for row in kept),
        labels=job.labels[kept],
        epochs=2,
    )
    counts = np.bincount(few.labels)
    assert counts.max() > 1.5 * counts.min()
    assert len(kept) % 2
    ends, histories = [], []
    for processes in (1, 2):
        network = fresh(config)
        part = dataclasses.replace(with_config(few, processes=processes), checkpoint=tmp_path / f"{processes}.pt")
        histories.append(finetune(network, part, CPU, SILENT))
        ends.append(network.state_dict())
    for one, two in zip(*histories, strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    for name, value in ends[0].items():
        assert torch.allclose(value, ends[1][name], atol=1e-5), name


def test_more_processes_than_pictures_in_a_batch_are_refused(job, config, fresh):
    with pytest.raises(ConfigError, match=r"train\.processes = 9, but a batch has only 5"):
        finetune(fresh(config), with_config(job, processes=9), CPU, SILENT)


def test_the_trained_stages_can_be_compiled(monkeypatch, tmp_path, job, config, fresh, state_bytes):
    """As torch.compile cuts them out, but without its code generator, which takes a minute."""
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend=backend))
    plain, compiled = fresh(config), fresh(config)
    job = dataclasses.replace(job, epochs=1)
    history = finetune(plain, job, CPU, SILENT)
    own = dataclasses.replace(with_config(job, compile=True), checkpoint=tmp_path / "compiled.pt")
    assert finetune(compiled, own, CPU, SILENT) == history
    assert seen
    assert state_bytes(plain) == state_bytes(compiled)


class WithoutFloat64(TorchDispatchMode):
    """Refuses what an Apple GPU refuses: a tensor of float64."""

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        if isinstance(made, torch.Tensor) and made.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        return made


def test_what_runs_on_a_device_does_without_float64_where_that_is_missing(job, config, fresh, monkeypatch):
    network = fresh(config)
    with WithoutFloat64(), pytest.raises(TypeError, match="float64"):
        finetune(network, job, CPU, SILENT)  # what a CPU has
    monkeypatch.setattr(Device, "sum_dtype", torch.float32)
    network = fresh(config)
    with WithoutFloat64():
        history = finetune(network, job, CPU, SILENT)
        answers = predicted(network, job, job.keys[:5], CPU)
    assert len(history) == job.epochs and np.isfinite(answers).all()
