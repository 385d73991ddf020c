"""Files that take minutes, gigabytes or the process: every door that decodes names the limit and goes on."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from pages.thumbnails import JpegThumbnails
from preprocessing import clean, leaks
from preprocessing.images import pixel_cache
from preprocessing.images.decode import decode
from preprocessing.images.formats import MAX_SCANS
from preprocessing.images.isolated_decode import decode_full_isolated, decode_isolated, run_isolated
from preprocessing.images.pixel_cache import PixelCache
from preprocessing.leaks import read_outside
from training.inference.export import images_to_check
from workspace.catalog.records import ImageFacts, Sample
from workspace.config.clean import CleanConfig
from workspace.errors import ImageRefused, WorkspaceError
from workspace.storage.image_store import ImageStore

SLOW = CleanConfig(decoder_timeout_s=0.3, workers=1)
TIGHT = CleanConfig(decoder_memory_mb=200, workers=1)


def jpeg_of_scans(side_px: int, scans: int) -> bytes:
    """A progressive JPEG whose smallest scan comes again and again."""
    out = io.BytesIO()
    Image.new("L", (side_px, side_px), 128).save(out, "JPEG", progressive=True, quality=50)
    data = out.getvalue()
    starts = [found.start() for found in re.finditer(b"\xff\xda", data)]
    size, start = min((end - start, start) for start, end in zip(starts, starts[1:], strict=False))
    return data[:start] + data[start : start + size] * scans + data[start:]


def deep_tiff(side_px: int) -> bytes:
    """A small file of a large picture of floating-point values."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((side_px, side_px), np.float32)).save(out, "TIFF", compression="tiff_adobe_deflate")
    return out.getvalue()


def clear_png(side_px: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (side_px, side_px)).save(out, "PNG", compress_level=9)
    return out.getvalue()


def test_a_jpeg_of_90_000_scans_is_refused_before_it_is_decoded(collected) -> None:
    data = jpeg_of_scans(7000, 90_000)
    assert 1e6 < len(data) < 7e6
    began = time.monotonic()
    with pytest.raises(ImageRefused, match=rf"too_many_scans: 900\d\d scans, .* limit is {MAX_SCANS}"):
        decode(data)
    assert time.monotonic() - began < 60  # decoding takes minutes
    sha = collected.add(data, "a")
    clean.run(collected.workspace, collected.config(clean={"workers": 1}))
    with collected.workspace.open_catalog() as catalog:
        assert {one.sha256: one.error for one in catalog.all(ImageFacts)} == {sha: "too_many_scans"}


def test_scans_of_a_thumbnail_and_of_what_stands_behind_the_picture_do_not_count(picture, encode) -> None:
    jpeg = encode(picture(1), "JPEG", progressive=True)
    thumbnail = b"\xff\xe5" + (60_002).to_bytes(2, "big") + b"\xff\xda" * 30_000
    noise = b"\xff\xda\0\x08" * 1000
    assert np.array_equal(decode(jpeg[:2] + thumbnail + jpeg[2:] + noise).pixels, decode(jpeg).pixels)


def test_decoding_elsewhere_gives_the_same_pixels_and_reasons(picture, encode) -> None:
    plain = CleanConfig(cache_side_px=64)
    data = encode(picture(2, 300, 200), "PNG")
    small, full = decode_isolated(data, plain), decode_full_isolated(data, plain)
    assert small.pixels.shape == (64, 96, 3) and (small.width, small.height) == (300, 200)
    assert np.array_equal(full.pixels, decode(data).pixels)
    with pytest.raises(ImageRefused, match="truncated") as refused:
        decode_isolated(data[:500], plain)
    assert refused.value.reason == "truncated" and refused.value.detail


@pytest.mark.parametrize(
    ("data", "limits", "says"),
    [
        (jpeg_of_scans(5000, MAX_SCANS - 20), SLOW, r"decoder_timeout: not decoded after 0\.3 s"),
        (clear_png(6000), TIGHT, r"decoder_memory: it took more than 200 MB \(decoder_memory_mb\)"),
        (deep_tiff(6000), TIGHT, r"decoder_memory: it took more than 200 MB"),
    ],
    ids=["many scans", "clear PNG", "deep TIFF"],
)
def test_every_door_has_the_limits_of_clean(
    data, limits, says, collected, picture, encode, tmp_path: Path, monkeypatch
) -> None:
    sha = collected.add(data, "a")
    config = collected.config(clean=limits.model_dump())
    with pytest.raises(ImageRefused, match=says):  # features and training, once the cache was deleted
        PixelCache(collected.workspace, config.clean).read(sha)
    thumbnails = JpegThumbnails(collected.workspace, config)
    with patch.object(pixel_cache, "decode_isolated", wraps=decode_isolated) as decodes:
        assert [thumbnails.jpeg(sha, "small") for _ in range(20)] == [None] * 20
    assert decodes.call_count == 1
    sample = Sample(sha, "a", "test", sha, "f", "s", "k", *[""] * 7, width=1, height=1)
    with pytest.raises(ImageRefused, match=says):
        images_to_check(collected.workspace, [sample], config.clean)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "bad.jpg").write_bytes(data)
    (outside / "good.jpg").write_bytes(encode(picture(3), "JPEG"))

    def patient_with_good(work, file, clean):
        return run_isolated(work, file, clean if file == data else CleanConfig(workers=1))

    monkeypatch.setattr(leaks, "run_isolated", patient_with_good)
    found = read_outside(outside, config.clean)
    assert found.refused == {"bad.jpg": says.split(":")[0]} and set(found.pixels) == {"good.jpg"}


def test_pictures_that_are_gone_are_not_what_an_export_is_checked_on(collected, picture, encode) -> None:
    there, gone = collected.add(encode(picture(1)), "a"), collected.add(encode(picture(2)), "a")
    samples = [Sample(sha, "a", "test", sha, "f", "s", "k", *[""] * 7, width=1, height=1) for sha in (gone, there)]
    ImageStore(collected.workspace).delete(gone)
    assert len(images_to_check(collected.workspace, samples, collected.config().clean)) == 1
    ImageStore(collected.workspace).delete(there)
    with pytest.raises(WorkspaceError, match="has no file"):
        images_to_check(collected.workspace, samples, collected.config().clean)


def test_a_file_of_an_outside_set_that_cannot_be_read_stops_no_other(picture, encode, tmp_path, monkeypatch) -> None:
    (tmp_path / "good.png").write_bytes(encode(picture(4)))
    (tmp_path / "locked.png").write_bytes(encode(picture(5)))

    def open_file(path: Path, *how: str, opened: Callable[..., object] = Path.open) -> object:
        if path.name == "locked.png":
            raise PermissionError
        return opened(path, *how)

    monkeypatch.setattr(Path, "open", open_file)
    found = read_outside(tmp_path, CleanConfig(workers=1))
    assert found.refused == {"locked.png": "unreadable"} and set(found.pixels) == {"good.png"}


def test_a_file_larger_than_the_limit_of_memory_is_not_read(picture, encode, tmp_path) -> None:
    (tmp_path / "good.png").write_bytes(encode(picture(6)))
    with (tmp_path / "endless.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(300_000_000)  # takes no room on the disk
    found = read_outside(tmp_path, CleanConfig(workers=1, decoder_memory_mb=200))
    assert found.refused == {"endless.jpg": "decoder_memory"} and set(found.pixels) == {"good.png"}
