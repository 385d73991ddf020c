"""Perceptual hashes: what finds a picture's copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fftpack
from PIL import Image

from preprocessing.decode import Pixels
from preprocessing.hash_search import Hashes

THUMB_SIDE_PX = 32
HASH_SIDE = 8

_WAVES_PX = 32  # imagehash.phash: hash_size * highfreq_factor


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
    """Hash a picture [h, w, 3] and its mirror image as imagehash defines pHash and dHash, bit for bit.

    The mirror image is made of the shrunken picture: the same as shrinking the mirror image, and half the work.
    """
    grey = Image.fromarray(pixels).convert("L")
    small = np.asarray(grey.resize((_WAVES_PX, _WAVES_PX), Image.Resampling.LANCZOS))
    steps = np.asarray(grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.LANCZOS))
    thumb = grey.resize((THUMB_SIDE_PX, THUMB_SIDE_PX), Image.Resampling.BOX)
    return Fingerprint(
        phash=_hex(_low_waves(small)),
        dhash=_hex(steps[:, 1:] > steps[:, :-1]),
        phash_mirror=_hex(_low_waves(small[:, ::-1])),
        dhash_mirror=_hex((steps[:, :-1] > steps[:, 1:])[:, ::-1]),
        thumb=thumb.tobytes().hex(),
    )


def _low_waves(small: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which of the lowest 8 x 8 cosine waves are above their median: imagehash.phash, with the same DCT."""
    waves = scipy.fftpack.dct(scipy.fftpack.dct(small, axis=0), axis=1)[:HASH_SIDE, :HASH_SIDE]
    return np.asarray(waves > np.median(waves))


def _hex(bits: npt.NDArray[np.bool_]) -> str:
    return np.packbits(bits).tobytes().hex()


def thumb_hashes(thumbs: npt.NDArray[np.uint8]) -> tuple[Hashes, Hashes]:
    """The pHash and the dHash of grey thumbs [n, 32, 32], uint64 [n] each: within a few bits of the picture's own."""
    waves = scipy.fftpack.dct(scipy.fftpack.dct(thumbs, axis=1), axis=2)[:, :HASH_SIDE, :HASH_SIDE]
    steps = _SHRINK[HASH_SIDE] @ thumbs @ _SHRINK[HASH_SIDE + 1].T
    return _packed(waves > np.median(waves, axis=(1, 2), keepdims=True)), _packed(steps[:, :, 1:] > steps[:, :, :-1])


def _packed(bits: npt.NDArray[np.bool_]) -> Hashes:
    return np.packbits(bits.reshape(len(bits), -1), axis=1).view(">u8").ravel().astype(np.uint64)


def _shrinking(side: int) -> npt.NDArray[np.float32]:
    """What each of the thumb's rows gives to each of `side` rows when it is shrunk by Pillow's Lanczos filter."""
    unit = Image.fromarray(np.eye(THUMB_SIDE_PX, dtype=np.float32))
    return np.asarray(unit.resize((THUMB_SIDE_PX, side), Image.Resampling.LANCZOS))


_SHRINK = {side: _shrinking(side) for side in (HASH_SIDE, HASH_SIDE + 1)}
