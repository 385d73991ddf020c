"""The eight orientations of an image: as it is or mirrored, each rotated by 0, 90, 180 or 270 degrees."""

from __future__ import annotations

import numpy as np

from preprocessing.duplicates.fingerprint import Thumbs

AS_IS, MIRRORED = 0, 1

ORIENTATIONS = 8
"""The number of orientations, which are the integers 0 to 7; AS_IS and MIRRORED are the unrotated ones."""


def reoriented(thumbs: Thumbs, orientation: int) -> Thumbs:
    """Mirror and rotate square images [n, side, side] into an orientation.

    Bit 0 mirrors left to right; then bit 1 rotates by 180 degrees and bit 2 by 90 degrees, counter-clockwise.
    """
    if orientation & 1:
        thumbs = thumbs[:, :, ::-1]
    return np.rot90(thumbs, (orientation >> 2) + (orientation & 2), axes=(1, 2))


def inverse(orientation: int) -> int:
    """Return the orientation that undoes this one: itself, except for the two unmirrored 90-degree rotations."""
    return {4: 6, 6: 4}.get(orientation, orientation)
