"""Where the network runs, and in which numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training.network.prefetch import Workers
from workspace.errors import ConfigError

Module = TypeVar("Module", bound=nn.Module)

GPU_WORKERS = 8
"""Processes beside a GPU, at most: each makes a few hundred views a second, and takes half a gigabyte."""


@dataclass(frozen=True, slots=True)
class Device:
    """A processor and the precision that it is used with.

    `precision` is the dtype of autocast on a GPU of CUDA; float32 means that nothing is cast. A CPU gets that, since
    without avx512_bf16 or AMX bfloat16 was 8 times slower (docs/decisions/0008-training.md), and so does an Apple GPU
    (`mps`), which was never tried (docs/decisions/0017-wheel.md).
    """

    torch_device: torch.device
    precision: torch.dtype

    @property
    def name(self) -> str:
        """What it is, for folder names and cards: `cpu-float32`, `cuda-bfloat16`."""
        return f"{self.torch_device.type}-{str(self.precision).removeprefix('torch.')}"

    @property
    def sum_dtype(self) -> torch.dtype:
        """The dtype for sums of losses: float64, which MPS lacks."""
        return torch.float32 if self.torch_device.type == "mps" else torch.float64

    def view_workers(self, setting: int | Literal["auto"]) -> Workers:
        """Choose who makes views: threads beside a CPU, for "auto" one, since its cores are busy; else processes."""
        if self.torch_device.type == "cpu":
            return Workers(1 if setting == "auto" else setting)
        most = min(GPU_WORKERS, max(1, (os.cpu_count() or 1) - 1))
        return Workers(most if setting == "auto" else setting, processes=True)

    def of_rank(self, rank: int) -> Device:
        """Return the device of another rank (training/fit/distributed.py): the GPU of its number, or the same CPU."""
        return (
            self
            if self.torch_device.type == "cpu"
            else Device(torch.device(self.torch_device.type, rank), self.precision)
        )

    def autocast(self) -> AbstractContextManager[object]:
        """The context for forward passes."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.torch_device.type, self.precision)

    def scaler(self) -> torch.amp.GradScaler:
        """Keeps float16 gradients from vanishing; does nothing for the other precisions."""
        return torch.amp.GradScaler(self.torch_device.type, enabled=self.precision == torch.float16)

    def put(self, module: Module) -> Module:
        """Move a network here, channels last: on a CPU too, where efficientnet_lite0 runs 1.7 times faster so.

        Not on MPS, whose kernels know the plain order alone.
        """
        module.to(self.torch_device)
        if self.torch_device.type != "mps":
            module.to(memory_format=torch.channels_last)
        return module

    def tensor(self, array: npt.NDArray[np.generic]) -> torch.Tensor:
        """Copy an array here; to a GPU from pinned memory, so that the copy does not hold up what is queued there."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.torch_device.type == "cuda":
            return tensor.pin_memory().to(self.torch_device, non_blocking=True)
        return tensor.to(self.torch_device)


def choose_device(name: str) -> Device:
    """Choose by the setting train.device: `auto` takes a GPU where there is one.

    Raises:
        ConfigError: `cuda` or `mps` was asked for and there is none.
    """
    gpus: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if name in gpus and not gpus[name]():
        raise ConfigError(f'train.device = "{name}", but torch sees no GPU here; set it to "auto" or "cpu"')
    if name == "auto":
        name = next((kind for kind, is_available in gpus.items() if is_available()), "cpu")
    if name == "cuda":
        # Where bfloat16 is emulated (T4, V100) it is slow, and float16 is not.
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Device(torch.device("cuda"), torch.bfloat16 if has_bfloat16 else torch.float16)
    return Device(torch.device(name), torch.float32)
