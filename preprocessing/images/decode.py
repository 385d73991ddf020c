"""Decode bytes to upright RGB: the only module that opens image bytes, for training and prediction."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from preprocessing.images.ancillary import PROFILE_BYTES, barer_versions
from preprocessing.images.colour import rgb_pixels
from preprocessing.images.deep_grey import DEEP_MODES, deep_to_rgb, unpack_in_native_order
from preprocessing.images.formats import FORMATS, ends_early, recognise
from workspace.config.clean import CleanConfig
from workspace.errors import ImageRefused
from workspace.files.image_type import image_format

DECODER_VERSION: int = 2
"""Part of the pixel cache's name: raise it whenever the same bytes would give other pixels."""

Pixels = npt.NDArray[np.uint8]

# The transposition that makes each EXIF orientation upright. Exif 2.32, tag 0x0112.
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112

# What libavif and libheif say instead of raising MemoryError.
_OUT_OF_MEMORY = re.compile(r"out of memory|allocating \d+ bytes failed", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Decoded:
    """An upright image.

    `pixels` is uint8 [H, W, 3], sRGB; `format` Pillow's name of the container and `mode` of its pixels; `frames`
    how many pictures the file holds, of which this is the first; `width` and `height` in px of the full upright
    picture, which `pixels` is smaller than when it was decoded with `side_px`; `note` what was assumed to read it, such
    as the range of floating-point values, in words.
    """

    pixels: Pixels
    format: str
    mode: str
    frames: int
    width: int
    height: int
    note: str = ""


def decode(data: bytes, *, max_megapixels: float = 50.0, side_px: int | None = None) -> Decoded:
    """Decode the first picture of a file: upright, sRGB, on white, 8 bits.

    Not for several threads at a time: it silences Python's warnings, which are one list per process.

    Args:
        data: the whole file.
        max_megapixels: largest picture, in 10^6 pixels, as the header states it; more is refused unread.
        side_px: a JPEG may come smaller, never with its shorter side below this (Pillow's draft mode: the inverse
            DCT at 1/2, 1/4 or 1/8, at half the time or less). Its pixels differ slightly from a full decode's.

    Raises:
        ImageRefused: with the reason `empty`, `not_an_image`, `format_not_allowed`, `too_many_pixels`,
            `too_many_scans`, `truncated`, `damaged` or `decoder_memory`.
    """
    container = recognise(data)
    with _strict_and_silent(prints=container == "TIFF"):
        try:
            return _decode_version(data, max_megapixels, side_px)
        except ImageRefused as refused:
            if refused.reason not in ("truncated", "damaged", "format_not_allowed"):
                raise
            for version in barer_versions(data, container):
                with suppress(ImageRefused):
                    return _decode_version(version, max_megapixels, side_px)
            raise


def decode_small(data: bytes, clean: CleanConfig) -> tuple[Decoded, Pixels]:
    """Decode a file and shrink it to the size in the cache, for training and prediction alike.

    A JPEG that is at least twice as large comes from Pillow's draft mode: at half the time in all, and a PNG made of it
    is then a near copy of it rather than one with the same pixels.

    Returns:
        The picture as decoded, and its pixels uint8 [h, w, 3] with the shorter side at most `clean.cache_side_px`.

    Raises:
        ImageRefused: as `decode` does.
    """
    decoded = decode(data, max_megapixels=clean.max_megapixels, side_px=clean.cache_side_px)
    return decoded, shrink(decoded.pixels, clean.cache_side_px)


def shrink(pixels: Pixels, side_px: int) -> Pixels:
    """Make the shorter side `side_px`, keeping the aspect: uint8 [H, W, 3] → [h, w, 3]; a smaller one stays as it is.

    Bicubic with antialiasing, after a box reduction that leaves at least 3 times the final size.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    if short <= side_px:
        return pixels
    size = (max(1, round(width * side_px / short)), max(1, round(height * side_px / short)))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))


def _decode_version(data: bytes, max_megapixels: float, side_px: int | None) -> Decoded:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _refuse_large(image.size, max_megapixels)
            Image.MAX_IMAGE_PIXELS = int(max_megapixels * 1e6)  # for later frames; Pillow refuses more than twice this
            return _decode_opened(image, side_px)
    except ImageRefused:
        raise
    except MemoryError as error:
        raise _too_much_memory(data) from error
    except Image.DecompressionBombError as error:
        raise _too_large("a frame in it is larger", max_megapixels) from error
    except Exception as error:  # Pillow raises anything on damaged bytes: the per-item boundary
        raise _refusal(data, error) from error


def _decode_opened(image: ImageFile.ImageFile, side_px: int | None) -> Decoded:
    mode = image.mode
    full = image.size
    if side_px is not None and image.format in ("JPEG", "MPO"):
        image.draft(mode, (side_px, side_px))
    drafted = image.size != full
    unpack_in_native_order(image)
    pixels, note, orientation = _upright(image)
    height, width = pixels.shape[:2]
    if drafted:
        width, height = full if orientation < 5 else full[::-1]
    container = "JPEG" if image.format == "MPO" else str(image.format)  # MPO: a JPEG with a second one behind it
    return Decoded(pixels, container, mode, _frames(image), width, height, note)


def decode_opened(image: Image.Image) -> Decoded:
    """Convert an image that Pillow holds in memory, as a caller of a library has it, as `decode` converts a file's.

    Raises:
        OSError: its file is read only now, and is cut off or gone.
        ValueError: it has no pixels.
        ImageRefused: its file is damaged.
    """
    try:
        pixels, note, _ = _upright(image)
    except (OSError, ValueError, MemoryError):
        raise
    except Exception as error:  # Pillow raises anything on damaged bytes, SyntaxError among others
        raise ImageRefused("damaged", f"{type(error).__name__}: {error}") from error
    height, width = pixels.shape[:2]
    return Decoded(pixels, str(image.format or ""), image.mode, 1, width, height, note)


def _upright(image: Image.Image) -> tuple[Pixels, str, int]:
    """Convert to upright sRGB; return also what was assumed, and the EXIF orientation."""
    image.load()
    orientation = _orientation(image)  # after load: Pillow turns a TIFF itself and PNG keeps its EXIF at the end
    pixels, note = deep_to_rgb(image) if image.mode in DEEP_MODES else (rgb_pixels(image), "")
    if orientation in _UPRIGHT:
        pixels = np.array(Image.fromarray(pixels).transpose(_UPRIGHT[orientation]))
    return pixels, note, orientation


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a broken EXIF block is no reason to refuse good pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # the later frames are damaged; the first, which counts, is already read
        return 1


def _refuse_large(size: tuple[int, int], max_megapixels: float) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise ImageRefused("damaged", f"the header says {width} x {height} px")
    if width * height > max_megapixels * 1e6:
        raise _too_large(f"{width} x {height} px", max_megapixels)


def _too_large(what: str, max_megapixels: float) -> ImageRefused:
    return ImageRefused(
        "too_many_pixels", f"{what}; the limit is {max_megapixels:g} megapixels: raise clean.max_megapixels"
    )


def _too_much_memory(data: bytes) -> ImageRefused:
    return ImageRefused("decoder_memory", f"a file of {len(data)} bytes takes more memory than there is")


def _refusal(data: bytes, error: Exception) -> ImageRefused:
    container = image_format(data) or ""
    cause = f"{type(error).__name__}: {error}"
    if _OUT_OF_MEMORY.search(cause):
        return _too_much_memory(data)
    if isinstance(error, UnidentifiedImageError):
        if container == "TIFF" and _has_unknown_layout(data):
            why = "a TIFF whose pixels have a layout that is not opened, such as three floating-point values"
            return ImageRefused("format_not_allowed", f"{why}; opened are {', '.join(FORMATS)}")
        cause = "its header cannot be read"
    cut = "truncated" in cause.lower() or (ends_early(data, container))
    what = "ends too early" if cut else "cannot be read as one"
    return ImageRefused("truncated" if cut else "damaged", f"a {container} of {len(data)} bytes, which {what}")


def _has_unknown_layout(data: bytes) -> bool:
    try:
        TiffImagePlugin.TiffImageFile(io.BytesIO(data)).close()
    except Exception as error:  # as in `_decode_version`; Image.open keeps what its plugins say to itself
        return "unknown pixel mode" in str(error)
    return False


@contextmanager
def _strict_and_silent(*, prints: bool) -> Iterator[None]:
    """Refuse cut-off files even when another library has told Pillow to pad them, and keep its warnings in.

    Pillow's own limit of pixels is off until the caller has applied its limit to the size in the header.
    With `prints` also what a C library says on standard error: libtiff comments on every fault.
    """
    padded, unpacked = ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK
    most_pixels = Image.MAX_IMAGE_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK = False, PROFILE_BYTES
    Image.MAX_IMAGE_PIXELS = None
    kept = os.dup(2) if prints else None
    try:
        if kept is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK = padded, unpacked
        Image.MAX_IMAGE_PIXELS = most_pixels
        if kept is not None:
            os.dup2(kept, 2)
            os.close(kept)
