"""Timestamps, UTC, ISO 8601, of one length, so that they sort as text; durations in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal


def utc_now(*, ago_s: float = 0, timespec: Literal["seconds", "microseconds"] = "seconds") -> str:
    """Return the time now, or `ago_s` seconds ago, such as `2026-01-31T09:00:00+00:00`."""
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat(timespec=timespec)


def duration(seconds: float) -> str:
    """Say a duration in words: 40 s, 3 min, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
