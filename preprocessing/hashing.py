"""Perceptual hashes: what finds a picture's copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image, ImageOps

from preprocessing.decode import Pixels
from preprocessing.hash_search import Hashes

THUMB_SIDE_PX = 32


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What finds a picture's copies: 64-bit hashes as 16 hex digits, `*_mirror` those of its mirror image.

    `thumb` is the grey picture at 32 x 32, 1024 bytes in hex, row by row.
    """

    phash: str
    dhash: str
    phash_mirror: str
    dhash_mirror: str
    thumb: str


def fingerprint(pixels: Pixels) -> Fingerprint:
    """Hash a picture [h, w, 3] and its mirror image as imagehash defines pHash and dHash."""
    grey = Image.fromarray(pixels).convert("L")
    mirror = ImageOps.mirror(grey)
    thumb = grey.resize((THUMB_SIDE_PX, THUMB_SIDE_PX), Image.Resampling.BOX)
    return Fingerprint(
        phash=str(imagehash.phash(grey)),
        dhash=str(imagehash.dhash(grey)),
        phash_mirror=str(imagehash.phash(mirror)),
        dhash_mirror=str(imagehash.dhash(mirror)),
        thumb=thumb.tobytes().hex(),
    )


def hashes_of(texts: Sequence[str]) -> Hashes:
    """Hex texts to numbers: uint64 [n]."""
    return np.array([int(text, 16) for text in texts], dtype=np.uint64)
