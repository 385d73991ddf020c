"""Cache decoded pixels on disk: written by clean, read by features and training, so no file is decoded twice."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np

from preprocessing.images.decode import DECODER_VERSION, Pixels
from preprocessing.images.isolated_decode import decode_isolated
from workspace.config.clean import CleanConfig
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.storage.arrays import open_array
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace


class PixelCache:
    """Pictures by sha256 in cache/pixels-v<decoder>-<side>/, each a .npy of uint8 [h, w, 3]; safe to delete.

    Args:
        workspace: whose cache it is.
        clean: the size of the cached pictures, and the pixel limit for those that are decoded again.
    """

    def __init__(self, workspace: Workspace, clean: CleanConfig) -> None:
        self._images = ImageStore(workspace)
        self._clean = clean
        self.folder = workspace.cache / f"pixels-v{DECODER_VERSION}-{clean.cache_side_px}"

    def __contains__(self, sha256: str) -> bool:
        return self._file(sha256).is_file()

    def write(self, sha256: str, pixels: Pixels) -> None:
        """Store a picture, whole or not at all.

        Raises:
            WorkspaceError: the disk is full or the folder cannot be written.
        """
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(pixels))
        write_atomic(self._file(sha256), buffer.getvalue(), durable=False)

    def read(self, sha256: str) -> Pixels:
        """Read an image, memory-mapped, uint8 [h, w, 3]; decode and store it again if its entry is gone or damaged.

        Raises:
            WorkspaceError: neither the entry nor the stored file is there.
            ImageRefused: the stored file cannot be decoded within the limits of cleaning.
        """
        pixels: Pixels | None = open_array(self._file(sha256))
        if pixels is not None and pixels.dtype == np.uint8 and pixels.shape[2:] == (3,):
            return pixels
        small = decode_isolated(self._images.get(sha256), self._clean).pixels
        with contextlib.suppress(WorkspaceError):  # on a read-only disk it is decoded each time
            self.write(sha256, small)
        return small

    def _file(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / f"{sha256}.npy"
