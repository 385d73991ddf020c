"""What a format for devices consists of."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.export.job import ExportJob
from training.stats.calibration import Calibration
from workspace.errors import ExtraMissing, needed_extra

Run = Callable[[npt.NDArray[np.uint8]], Mapping[str, npt.NDArray[np.float32]]]
"""Runs an exported file on an upright RGB image, uint8 [h, w, 3] of any size: its outputs by name, [1, …] each."""

VIEWS = (
    "the centre square of an upright RGB picture, uint8 [1, {crop}, {crop}, 3]: shrink the picture until its shorter "
    "side is {resize} (bicubic, antialiased), then cut {crop} x {crop} from its middle"
)
"""What most of the files take; `crop` and `resize` in pixels are filled in."""

PICTURES = "upright RGB of any size, uint8 [1, height, width, 3]; the preprocessing is in the file"


def runs_here() -> str:
    """Say nothing: the runtime is there on every machine that has its package."""
    return ""


@dataclass(frozen=True, slots=True)
class DeviceFormat:
    """A format, by what the table and the card say of it and what writes and opens it.

    Attributes:
        name: of `export --to`, and of the folder.
        title: for people.
        file: the main file in the folder.
        modules: what must be importable.
        extra: that installs it.
        distributions: whose versions the card names.
        takes: what its input is, for the card.
        convert: writes the files into a folder; returns the calibration that they answer by, None without one.
        opened: opens the folder with the format's own runtime.
        why_not_run: why the runtime does not run on this machine; empty where it does.
    """

    name: str
    title: str
    file: str
    modules: tuple[str, ...]
    extra: str
    distributions: tuple[str, ...]
    takes: str
    convert: Callable[[ExportJob, Path], Calibration | None]
    opened: Callable[[ExportJob, Path], Run]
    why_not_run: Callable[[], str] = runs_here

    def require(self) -> None:
        """Raise ExtraMissing where a package is not installed; names the extra."""
        if missing := [name for name in self.modules if importlib.util.find_spec(name) is None]:
            raise ExtraMissing(needed_extra(self.extra, f"--to {self.name}", " and ".join(missing)))
