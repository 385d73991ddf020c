import pytest

from workspace.errors import WorkspaceError
from workspace.files.image_type import SUFFIXES
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

SHA = "ab" * 32


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_what_is_put_is_got_under_every_suffix(tmp_path, suffix) -> None:
    images = ImageStore(Workspace(tmp_path))
    assert not images.exists(SHA)
    images.put(SHA, suffix, b"bytes")
    assert images.exists(SHA)
    with images.staged([SHA]) as (path,):
        assert images.get(SHA) == path.read_bytes() == b"bytes"
    assert images.key(SHA) == f"images/ab/{SHA}{suffix}"
    assert (tmp_path / images.key(SHA)).is_file()


def test_a_stored_file_is_not_written_again(tmp_path) -> None:
    images = ImageStore(Workspace(tmp_path))
    images.put(SHA, ".png", b"first")
    before = (tmp_path / images.key(SHA)).stat()
    images.put(SHA, ".png", b"first")
    assert (tmp_path / images.key(SHA)).stat() == before


def test_a_deleted_file_is_gone_and_its_neighbour_stays(tmp_path) -> None:
    images = ImageStore(Workspace(tmp_path))
    neighbour = SHA[:-1] + "c"
    for sha in (SHA, neighbour):
        images.put(sha, ".webp", b"bytes")
    images.delete(SHA)
    images.delete(SHA)  # a second time is no error
    assert (images.exists(SHA), images.exists(neighbour)) == (False, True)


def _staged(images: ImageStore, sha256: str) -> None:
    with images.staged([sha256]):
        pass


@pytest.mark.parametrize("ask", [ImageStore.get, ImageStore.key, lambda images, sha: images.keys([sha]), _staged])
def test_a_missing_file_is_named_with_a_remedy(tmp_path, ask) -> None:
    with pytest.raises(WorkspaceError, match=f"(?s){SHA}.*put it back"):
        ask(ImageStore(Workspace(tmp_path)), SHA)
