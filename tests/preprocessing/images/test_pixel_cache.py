import shutil

import numpy as np
import pytest

from preprocessing.images.decode import decode_small
from preprocessing.images.pixel_cache import PixelCache
from workspace.errors import WorkspaceError


def test_what_is_written_is_read_memory_mapped(collected, picture) -> None:
    cache = PixelCache(collected.workspace, collected.config().clean)
    pixels = np.asarray(picture(1))
    assert "ab12" not in cache
    cache.write("ab12", pixels)
    assert "ab12" in cache
    assert isinstance(cache.read("ab12"), np.memmap)
    assert np.array_equal(cache.read("ab12"), pixels)
    assert [path.name for path in (cache.folder / "ab").iterdir()] == ["ab12.npy"]


@pytest.mark.parametrize("harm", ["gone", "cut", "empty", "text", "wrong shape"])
def test_a_missing_or_damaged_entry_is_made_again(collected, picture, encode, harm) -> None:
    sha = collected.add(encode(picture(2, 300, 200)), "a")
    config = collected.config(clean={"cache_side_px": 64})
    cache = PixelCache(collected.workspace, config.clean)
    whole = np.array(cache.read(sha))
    path = cache.folder / sha[:2] / f"{sha}.npy"
    if harm == "gone":
        shutil.rmtree(collected.workspace.cache)
    elif harm == "wrong shape":
        np.save(path, np.zeros((4, 4), np.uint8))
    else:
        path.write_bytes({"cut": path.read_bytes()[:-500], "empty": b"", "text": b"hello"}[harm])
    assert whole.shape == (64, 96, 3)
    assert np.array_equal(cache.read(sha), whole)
    assert np.array_equal(np.load(path), whole)


def test_a_file_that_is_gone_altogether_is_an_error_that_names_it(collected) -> None:
    with pytest.raises(WorkspaceError, match="abcd"):
        PixelCache(collected.workspace, collected.config().clean).read("abcd")


def test_prediction_sees_what_the_cache_holds(collected, picture, encode) -> None:
    data = encode(picture(3, 700, 600), "JPEG")
    config = collected.config()
    sha = collected.add(data, "a")
    decoded, small = decode_small(data, config.clean)
    assert (decoded.width, decoded.height) == (700, 600)
    assert np.array_equal(PixelCache(collected.workspace, config.clean).read(sha), small)
