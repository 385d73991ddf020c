"""Thumbnails for the report, as data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from preprocessing.images.pixel_cache import PixelCache
from training.network.views import clean_view
from workspace.errors import ImageRefused, WorkspaceError

THUMB_SIDE_PX = 160
"""Longer side: sharp enough on the page at 112 px, and about 5 kB for a photograph."""

THUMB_QUALITY = 74

_DARK = 0.22  # brightness where nothing is evidence for the answer


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One image on the page: `src` a data URL, empty when it cannot be shown; `link` empty when there is none."""

    src: str
    alt: str
    link: str
    lines: tuple[str, ...] = ()


class ThumbnailCache:
    """Thumbnails of the images in the pixel cache, as data URLs; each is made once."""

    def __init__(self, cache: PixelCache) -> None:
        self.cache = cache
        self._made: dict[str, str] = {}

    def data_url(self, sha256: str) -> str:
        """Return an image's thumbnail as a data URL; empty when it cannot be decoded or its file is gone."""
        if sha256 not in self._made:
            self._made[sha256] = self._make(sha256)
        return self._made[sha256]

    def spotlight(self, sha256: str, shares: Sequence[Sequence[float]], resize_px: int, crop_px: int) -> str:
        """Return the square that the network sees of an image, darkened where the shares are small; as `data_url`.

        Args:
            sha256: of the image.
            shares: rows of numbers in [0, 1] over the square.
            resize_px: shorter side of the image when the square is cut out.
            crop_px: side of the square.
        """
        try:
            view = Image.fromarray(clean_view(self.cache.read(sha256), resize_px, crop_px))
        except (ImageRefused, WorkspaceError):
            return ""
        size = (THUMB_SIDE_PX, THUMB_SIDE_PX)
        levels = (255 * np.asarray(shares, dtype=np.float64)).astype(np.uint8)
        light = Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)
        small = view.resize(size, Image.Resampling.BICUBIC)
        return jpeg_data_url(Image.composite(small, small.point(lambda level: level * _DARK), light))

    def _make(self, sha256: str) -> str:
        try:
            image = Image.fromarray(self.cache.read(sha256))
        except (ImageRefused, WorkspaceError):
            return ""
        image.thumbnail((THUMB_SIDE_PX, THUMB_SIDE_PX))
        return jpeg_data_url(image)


def jpeg_data_url(image: Image.Image) -> str:
    """Encode an image as a JPEG in a data URL."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=THUMB_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
