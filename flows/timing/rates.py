"""How fast steps were on this machine: sums of seconds and of work, kept in the user's cache folder."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workspace.clock import utc_now
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_json
from workspace.names import local_path

_LOG = logging.getLogger("collect_and_train.timing")
_FORMAT = 1
_FORGETTING = 0.5
"""Share of what was measured before that a measurement of as much work or more replaces: machines and programs change.
One of less work replaces less, since much of its time is that of beginning."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What was measured of a step.

    Attributes:
        units: of work, older ones counting less.
        seconds: that they took.
        at: the day of the latest measurement, UTC.
    """

    units: float
    seconds: float
    at: str

    @property
    def seconds_per_unit(self) -> float:
        """Seconds that a unit of work took."""
        return self.seconds / self.units


def rates_file() -> Path:
    """Return the file of this machine's rates: in the folder COLLECT_AND_TRAIN_CACHE, else in the user's cache."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = os.environ.get("COLLECT_AND_TRAIN_CACHE") or f"{caches}/collect-and-train"
    return local_path(folder) / "rates.json"


def read_rate(key: str) -> Rate | None:
    """Return what was measured under a key; None where nothing was, or the file cannot be used."""
    values = _read().get(key)
    try:
        return Rate(float(values["units"]), float(values["seconds"]), str(values["at"])) if values else None
    except (KeyError, TypeError, ValueError):
        return None


def keep_rate(key: str, units: int, seconds: float) -> None:
    """Add a measurement; where the file cannot be written, the next estimate is as before."""
    before = read_rate(key)
    past = (before.units, before.seconds) if before else (0.0, 0.0)
    kept = 1 - _FORGETTING * min(1, units / past[0]) if past[0] else 0
    rate = {
        "units": past[0] * kept + units,
        "seconds": past[1] * kept + seconds,
        "at": utc_now()[:10],
    }
    try:
        write_json(rates_file(), {"format": _FORMAT, "rates": _read() | {key: rate}})
    except WorkspaceError as error:
        _LOG.debug("%s", error)


def _read() -> dict[str, Any]:
    """Read every rate; none where the file is missing, damaged or of another version: it is measured again."""
    try:
        values = json.loads(rates_file().read_text(encoding="utf-8"))
        rates = values["rates"] if values["format"] == _FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return rates if isinstance(rates, dict) else {}
