"""The choice of the device, with GPUs that only torch's answers have: neither CUDA nor MPS is needed."""

from __future__ import annotations

import contextlib

import pytest
import torch

from training.fit.distributed import check_world_size
from training.network.device import Device, choose_device
from workspace.errors import ConfigError

MPS = Device(torch.device("mps"), torch.float32)


@pytest.fixture
def gpus(monkeypatch):
    """Sets which GPUs torch says it sees."""

    def see(cuda: bool = False, mps: bool = False, bfloat16: bool = True) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
        monkeypatch.setattr(
            "torch.cuda.is_bf16_supported", lambda including_emulation=True: including_emulation or bfloat16
        )
        monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)

    return see


def test_a_gpu_that_would_emulate_bfloat16_gets_float16(gpus):
    gpus(cuda=True, bfloat16=False)
    assert choose_device("auto").name == "cuda-float16"


@pytest.mark.parametrize(
    ("cuda", "mps", "setting", "name"),
    [
        (False, False, "auto", "cpu-float32"),
        (True, False, "auto", "cuda-bfloat16"),
        (False, True, "auto", "mps-float32"),
        (True, True, "auto", "cuda-bfloat16"),
        (True, True, "mps", "mps-float32"),
        (True, True, "cpu", "cpu-float32"),
    ],
)
def test_what_is_chosen(gpus, cuda, mps, setting, name):
    gpus(cuda, mps)
    assert choose_device(setting).name == name


@pytest.mark.parametrize("setting", ["cuda", "mps"])
def test_a_gpu_that_is_not_there_is_named(gpus, setting):
    gpus(cuda=setting != "cuda", mps=setting != "mps")
    with pytest.raises(ConfigError, match=f'train.device = "{setting}", but torch sees no GPU here; set it to "auto"'):
        choose_device(setting)


def test_on_an_apple_gpu_nothing_is_cast_and_no_loss_is_scaled():
    assert isinstance(MPS.autocast(), contextlib.nullcontext)
    assert not MPS.scaler().is_enabled()
    assert MPS.sum_dtype == torch.float32


def test_there_is_one_apple_gpu_for_one_process():
    check_world_size(1, MPS, [100], 32)
    with pytest.raises(ConfigError, match="train.processes = 2, but there is one Apple GPU"):
        check_world_size(2, MPS, [100], 32)
