"""The compact per-image record that the duplicate search keeps in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from preprocessing.duplicates.hashing import THUMB_SIDE_PX
from workspace.catalog.records import ImageFacts

# Below this standard deviation (grey, 0 to 1) a hash is noise: all flat images share one.
FLAT_CONTRAST = 0.02
# The same for the thumb, which is what the hashes see: fine texture on a plain ground leaves nothing of itself there.
FLAT_THUMB = 0.005

Thumbs = npt.NDArray[np.uint8]

ThumbsOf = Callable[[Sequence[str]], Thumbs]
"""Loads the grey thumbs of images by their sha256, uint8 [n, 32, 32]; they are read only when asked for."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A decoded image: `area` in px, `file_bytes` of its file, its hashes as integers.

    `pixel_digest` is equal for equal pixels and `hash_digest` for equal hashes and thumb; `textured` says that it
    has what hashes are made of: contrast, and some of it left at 32 x 32.
    """

    sha256: str
    area: int
    file_bytes: int
    pixel_digest: bytes
    hash_digest: bytes
    phash: int
    dhash: int
    phash_mirror: int
    dhash_mirror: int
    textured: bool


def fingerprint_of(facts: ImageFacts) -> Fingerprint:
    """Reduce facts to a fingerprint."""
    hashes = (facts.phash, facts.dhash, facts.phash_mirror, facts.dhash_mirror)
    thumb = np.frombuffer(bytes.fromhex(facts.thumb), dtype=np.uint8)
    return Fingerprint(
        facts.sha256,
        facts.width * facts.height,
        facts.bytes,
        _digest(facts.pixel_digest),
        _digest(*hashes, facts.thumb),
        int(facts.phash or "0", 16),
        int(facts.dhash or "0", 16),
        int(facts.phash_mirror or "0", 16),
        int(facts.dhash_mirror or "0", 16),
        facts.contrast >= FLAT_CONTRAST and thumb.size > 0 and float(thumb.std()) >= 255 * FLAT_THUMB,
    )


def thumbs_among(texts: Mapping[str, str]) -> ThumbsOf:
    """Load thumbs from a mapping: by sha256, as facts hold them."""
    return lambda names: unpacked([texts[name] for name in names])


def unpacked(texts: Sequence[str]) -> Thumbs:
    """Unpack thumbs as facts hold them to uint8 [n, 32, 32]."""
    raw = np.frombuffer(bytes.fromhex("".join(texts)), dtype=np.uint8)
    return raw.reshape(len(texts), THUMB_SIDE_PX, THUMB_SIDE_PX)


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("|".join(parts).encode(), digest_size=16).digest()
