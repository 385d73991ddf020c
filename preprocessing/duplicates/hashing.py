"""Perceptual hashes, by which candidates for copies are found."""

from __future__ import annotations

from dataclasses import dataclass

import imagehash
import numpy as np
import numpy.typing as npt
import scipy.fft
from PIL import Image, ImageOps

from preprocessing.duplicates.hash_search import Hashes
from preprocessing.images.decode import Pixels

THUMB_SIDE_PX = 32
HASH_SIDE = 8

_DCT_SIDE_PX = 32  # imagehash.phash: hash_size * highfreq_factor


@dataclass(frozen=True, slots=True)
class ImageHashes:
    """Hashes by which copies are found: 64-bit hashes as 16 hex digits, `*_mirror` those of its mirror image.

    `thumb` is the grey image at 32 x 32, 1024 bytes in hex, row by row.
    """

    phash: str
    dhash: str
    phash_mirror: str
    dhash_mirror: str
    thumb: str


def hash_image(pixels: Pixels) -> ImageHashes:
    """Hash an image, uint8 [h, w, 3], and its mirror image by imagehash's pHash and dHash.

    imagehash shrinks what it hashes. Here that is done once, to the very sizes that it asks for, which it then leaves
    as they are; mirroring the small image equals shrinking the mirrored one.
    """
    grey = Image.fromarray(pixels).convert("L")
    small = grey.resize((_DCT_SIDE_PX, _DCT_SIDE_PX), Image.Resampling.LANCZOS)
    steps = grey.resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.LANCZOS)
    thumb = grey.resize((THUMB_SIDE_PX, THUMB_SIDE_PX), Image.Resampling.BOX)
    return ImageHashes(
        phash=str(imagehash.phash(small)),
        dhash=str(imagehash.dhash(steps)),
        phash_mirror=str(imagehash.phash(ImageOps.mirror(small))),
        dhash_mirror=str(imagehash.dhash(ImageOps.mirror(steps))),
        thumb=thumb.tobytes().hex(),
    )


def thumb_hashes(thumbs: npt.NDArray[np.uint8]) -> tuple[Hashes, Hashes]:
    """Compute the pHash and the dHash of grey thumbs [n, 32, 32], uint64 [n] each, a few bits off the image's own."""
    frequencies = scipy.fft.dct(scipy.fft.dct(thumbs, axis=1), axis=2)[:, :HASH_SIDE, :HASH_SIDE]
    steps = _SHRINK[HASH_SIDE] @ thumbs @ _SHRINK[HASH_SIDE + 1].T
    medians = np.median(frequencies, axis=(1, 2), keepdims=True)
    return _packed(frequencies > medians), _packed(steps[:, :, 1:] > steps[:, :, :-1])


def _packed(bits: npt.NDArray[np.bool_]) -> Hashes:
    return np.packbits(bits.reshape(len(bits), -1), axis=1).view(">u8").ravel().astype(np.uint64)


def _shrinking(side: int) -> npt.NDArray[np.float32]:
    """Compute the weights of the thumb's rows in each of `side` rows shrunk by Pillow's Lanczos filter."""
    unit = Image.fromarray(np.eye(THUMB_SIDE_PX, dtype=np.float32))
    return np.asarray(unit.resize((THUMB_SIDE_PX, side), Image.Resampling.LANCZOS))


_SHRINK = {side: _shrinking(side) for side in (HASH_SIDE, HASH_SIDE + 1)}
