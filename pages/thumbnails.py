"""Encode images of the pixel cache as small JPEGs; the downloaded bytes are never served."""

from __future__ import annotations

import io

from PIL import Image

from preprocessing.images.pixel_cache import PixelCache
from workspace.config.model import WorkspaceConfig
from workspace.errors import ImageRefused, WorkspaceError
from workspace.storage.paths import Workspace

SIDE_PX = {"small": 256, "large": 1024}
"""Longer side at most; the cache holds images with a shorter side of 256 px as a rule."""

QUALITY = 82


class JpegThumbnails:
    """Encodes cached images as JPEGs; safe to use from several threads."""

    def __init__(self, workspace: Workspace, config: WorkspaceConfig) -> None:
        self._cache = PixelCache(workspace, config.clean)
        self._refused: set[str] = set()  # one that takes the whole time limit must not take it at every look

    def jpeg(self, sha256: str, size: str) -> bytes | None:
        """Encode an image in one of the sizes of SIDE_PX; None if it cannot be decoded.

        An image that is not in the cache is decoded, in a process of its own, and stored there.
        """
        if sha256 in self._refused:
            return None
        try:
            pixels = self._cache.read(sha256)
        except ImageRefused:
            self._refused.add(sha256)
            return None
        except WorkspaceError:  # its file may be put back
            return None
        image = Image.fromarray(pixels)
        image.thumbnail((SIDE_PX[size], SIDE_PX[size]))
        out = io.BytesIO()
        image.save(out, "JPEG", quality=QUALITY)
        return out.getvalue()
