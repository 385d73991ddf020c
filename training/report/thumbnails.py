"""Thumbnails for the report, as data URLs."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from preprocessing.images.pixel_cache import PixelCache
from training.network.views import clean_view
from workspace.errors import ImageRefused, WorkspaceError

THUMB_SIDE_PX = 160
"""Longer side: sharp enough on the page at 112 px, and about 5 kB for a photograph."""

THUMB_QUALITY = 74

_DARK = 0.22  # brightness where nothing is evidence for the answer

_CREATIVE_COMMONS = {"by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd"}


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


def web_address(*urls: str) -> str:
    """The first that is an http or https address, else nothing: they come from strangers and become links."""
    for url in urls:
        try:
            parts = urlsplit(url)
        except ValueError:
            continue
        if parts.scheme in {"http", "https"} and parts.netloc:
            return url
    return ""


def license_name(code: str, url: str) -> str:
    """How a licence is called: `by-sa` at …/licenses/by-sa/2.0/ is CC BY-SA 2.0; other words stay as they are."""
    version = re.search(r"/(\d\.\d)(?:/|$)", url)
    number = f" {version.group(1)}" if version else ""
    lower = code.lower()
    if lower in _CREATIVE_COMMONS:
        return f"CC {lower.upper()}{number}"
    return {"cc0": f"CC0{number}", "pdm": f"Public Domain Mark{number}", "": "not stated"}.get(lower, code)
