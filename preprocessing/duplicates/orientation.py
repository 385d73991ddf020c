"""The eight ways to see a picture: as it is, mirrored, and either of them turned by quarters."""

from __future__ import annotations

import numpy as np

from preprocessing.duplicates.fingerprint import Thumbs

AS_IS, MIRRORED = 0, 1

TURNS = 8
"""How many there are; a view is one of 0 to 7; AS_IS and MIRRORED are those that do not turn it."""


def turned(thumbs: Thumbs, view: int) -> Thumbs:
    """See square pictures [n, side, side] another way: bit 0 mirrors left to right, then bits 1 and 2 turn.

    Bit 1 turns by a half, bit 2 by a quarter, counter-clockwise.
    """
    if view & 1:
        thumbs = thumbs[:, :, ::-1]
    return np.rot90(thumbs, (view >> 2) + (view & 2), axes=(1, 2))


def inverse(view: int) -> int:
    """The view that takes a picture seen so back to what it was: itself, but for the two plain quarter turns."""
    return {4: 6, 6: 4}.get(view, view)
