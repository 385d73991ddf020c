from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from training.fit.finetune import finetune, predicted
from training.fit.tuned_copy import TuningPlan, train_copy
from training.network.device import choose_device
from workspace.progress import SILENT

CPU = choose_device("cpu")


@pytest.fixture
def plan(tmp_path, job, config, fresh):
    """The third of the images is held out; then all are learnt from, at half the rate."""
    held_out = np.arange(len(job.keys)) % 3 == 0
    keys = np.array(job.keys)
    held_in = dataclasses.replace(
        job,
        keys=tuple(keys[~held_out].tolist()),
        labels=job.labels[~held_out],
        epochs=2,
        checkpoint=tmp_path / "held-in.pt",
        fingerprint="held-in",
    )
    everything = dataclasses.replace(
        job, epochs=1, rate=0.5, first_view=2, checkpoint=tmp_path / "everything.pt", fingerprint="everything"
    )
    return TuningPlan(fresh(config), held_in, everything, tuple(keys[held_out].tolist()), job.labels[held_out])


@pytest.fixture
def by_hand(plan, tmp_path, config, fresh, state_bytes):
    """The state after the first part, the answers then, and the state after both."""
    network = fresh(config)
    finetune(network, dataclasses.replace(plan.held_in, checkpoint=tmp_path / "one.pt"), CPU, SILENT)
    first, answers = state_bytes(network), predicted(network, plan.held_in, plan.keys, CPU)
    finetune(network, dataclasses.replace(plan.everything, checkpoint=tmp_path / "two.pt"), CPU, SILENT)
    return first, answers, state_bytes(network)


def test_held_out_images_are_answered_before_they_are_learnt_from(plan, by_hand, state_bytes):
    first, answers, both = by_hand
    copy = train_copy(plan, CPU, 0, SILENT)
    assert copy.answers.tobytes() == answers.tobytes()
    assert state_bytes(copy.network) == both != first
    assert [row["epoch"] for row in copy.epochs] == [1, 2, 3]
    assert ["val_loss" in row for row in copy.epochs] == [False, True, False]
    assert copy.cut_short == ""


def test_a_copy_that_diverges_is_dropped_with_a_reason(plan):
    plan.network.head.weight.data.fill_(float("nan"))
    copy = train_copy(plan, CPU, 0, SILENT)
    assert copy.network is None and copy.answers is None and copy.epochs == []
    assert "diverged" in copy.cut_short and "backbone_lr" in copy.cut_short


def test_a_copy_that_diverges_on_every_picture_is_the_one_before(plan, by_hand, state_bytes):
    wild = dataclasses.replace(plan.everything, rate=1e33)
    copy = train_copy(dataclasses.replace(plan, everything=wild), CPU, 0, SILENT)
    assert state_bytes(copy.network) == by_hand[0] and copy.answers.tobytes() == by_hand[1].tobytes()
    assert "the one that has not learnt from the held-out pictures" in copy.cut_short


class Ends:
    """A clock whose time is over once fine-tuning says a word."""

    def __init__(self, word: str) -> None:
        self.word, self.over, self.said = word, False, []

    def monotonic(self) -> float:
        return 1e6 if self.over else 0.0

    def say(self, message: str) -> None:
        self.over = self.over or self.word in message
        self.said.append(message)

    warn = say

    def begin(self, what, total):
        pass

    def advance(self, count=1):
        pass


@pytest.mark.parametrize(("word", "finished"), [("held out", False), ("goes on with all", True)])
def test_a_part_that_the_time_limit_ends_is_dropped_and_said(monkeypatch, plan, by_hand, state_bytes, word, finished):
    first, answers, _ = by_hand
    clock = Ends(word)
    monkeypatch.setattr("training.fit.tuned_copy.time", clock)
    copy = train_copy(plan, CPU, 60, clock)
    assert copy.cut_short in clock.said
    assert "train.time_limit_s = 60" in copy.cut_short
    if finished:
        assert state_bytes(copy.network) == first
        assert copy.answers.tobytes() == answers.tobytes()
    else:
        assert (copy.network, copy.answers, copy.epochs) == (None, None, [])
