"""Kept pictures: bounded, each once, decided on by a person, and gone when they are taken back."""

import hashlib
import os
import time

import pytest

from workspace.errors import WorkspaceError
from workspace.served.kept import KeptPicture, KeptPictures, Limits
from workspace.storage.paths import Workspace

MANY = Limits(1000, 10**9)


def record(number: int, probability: float = 0.5, *, none: str = "", size: int = 4, url: str = "") -> KeptPicture:
    return KeptPicture(
        version=1,
        sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        suffix=".png",
        bytes=size,
        kept_at=f"2026-01-01T00:00:{number:02}+00:00",
        run_id="r1",
        best="ape",
        probability=probability,
        none=none,
        url=url,
    )


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)


def test_the_surest_makes_room_and_those_answered_none_stay(workspace) -> None:
    kept = KeptPictures(workspace)
    pictures = [record(0, 0.9), record(1, 0.5), record(2, 0.95, none="unsure"), record(3, 0.4)]
    assert [kept.keep(one, b"data", Limits(3, 100)) for one in pictures] == [True] * 4
    assert [one.probability for one in kept.undecided()] == [0.95, 0.4, 0.5]
    assert not kept.keep(record(4, 0.99), b"data", Limits(3, 100))  # surer than all of them
    assert len(list((workspace.served / "pictures").iterdir())) == 6


def test_bytes_are_bounded_too(workspace) -> None:
    kept = KeptPictures(workspace)
    for number in range(10):
        kept.keep(record(number, 0.9 - number / 20), b"data", Limits(100, 13))
    assert sum(one.bytes for one in kept.undecided()) == 12
    assert not kept.keep(record(11, 0.0, size=14), b"x" * 14, Limits(100, 13))


def test_a_picture_is_kept_once_also_after_it_was_decided_on(workspace) -> None:
    kept = KeptPictures(workspace)
    assert kept.keep(record(1), b"data", MANY)
    assert not kept.keep(record(1), b"data", MANY)
    assert kept.take_out(record(1).sha256) and not kept.take_out(record(1).sha256)
    assert kept.undecided() == [] and kept.read(record(1).sha256) is None
    assert not kept.keep(record(1), b"data", MANY)


def test_put_into_a_class_it_lies_in_the_inbox_and_is_settled(workspace) -> None:
    kept, sha = KeptPictures(workspace), record(1).sha256
    kept.keep(record(1, url="https://x.test/1.png"), b"data", MANY)
    old = time.time() - 100
    os.utime(workspace.served / "pictures" / f"{sha}.png", (old, old))
    assert KeptPictures(workspace).put_into(sha, "red panda")  # another process
    (copy,) = (workspace.inbox / "red panda").iterdir()
    assert copy.read_bytes() == b"data" and copy.stat().st_mtime == pytest.approx(old, abs=1)
    assert not kept.put_into(sha, "red panda") and kept.undecided() == []
    found = kept.of_inbox_file(copy)
    assert found is not None and (found.url, found.decided) == ("https://x.test/1.png", "red panda")
    assert kept.of_inbox_file(copy.with_name("mine.png")) is None


def test_an_inbox_that_cannot_be_written_loses_nothing(workspace) -> None:
    kept, sha = KeptPictures(workspace), record(1).sha256
    kept.keep(record(1), b"data", MANY)
    workspace.inbox.write_text("a file")
    with pytest.raises(WorkspaceError, match="inbox is a file, not a folder; name another"):
        kept.put_into(sha, "ape")
    assert [one.sha256 for one in kept.undecided()] == [sha]


def test_a_copy_that_could_not_be_put_leaves_nothing_in_the_inbox(workspace) -> None:
    kept, sha = KeptPictures(workspace), record(1).sha256
    kept.keep(record(1), b"data", MANY)
    in_the_way = workspace.inbox / "ape" / f"served-{sha}.png"
    in_the_way.mkdir(parents=True)
    with pytest.raises(WorkspaceError):
        kept.put_into(sha, "ape")
    assert list((workspace.inbox / "ape").iterdir()) == [in_the_way]
    in_the_way.rmdir()
    assert kept.put_into(sha, "ape")


def test_delete_takes_the_copy_in_the_inbox_along(workspace) -> None:
    kept = KeptPictures(workspace)
    for number in range(3):
        kept.keep(record(number, url=f"https://x.test/{number}"), b"data", MANY)
    kept.put_into(record(0).sha256, "ape")
    found = kept.matching({record(1).sha256}, {"https://x.test/0"})
    assert {one.sha256 for one in found} == {record(0).sha256, record(1).sha256}
    kept.delete(found)
    assert [one.sha256 for one in kept.undecided()] == [record(2).sha256]
    assert list((workspace.inbox / "ape").iterdir()) == []
    assert len(list((workspace.served / "pictures").iterdir())) == 2


def test_a_damaged_record_hides_no_other(workspace) -> None:
    kept = KeptPictures(workspace)
    kept.keep(record(1), b"data", MANY)
    (workspace.served / "pictures" / f"{'0' * 64}.json").write_text("{")
    assert [one.sha256 for one in KeptPictures(workspace).undecided()] == [record(1).sha256]


def test_a_picture_that_could_not_be_written_costs_no_other_and_is_kept_later(workspace) -> None:
    kept = KeptPictures(workspace)
    kept.keep(record(0, 0.9), b"data", Limits(1, 100))
    in_the_way = workspace.served / "pictures" / f"{record(1).sha256}.png"
    in_the_way.mkdir()
    with pytest.raises(WorkspaceError):
        kept.keep(record(1), b"data", Limits(1, 100))
    assert [one.sha256 for one in kept.undecided()] == [record(0).sha256]
    in_the_way.rmdir()
    assert not kept.knows(record(1).sha256)
    assert kept.keep(record(1), b"data", Limits(1, 100))
    assert [one.sha256 for one in kept.undecided()] == [record(1).sha256]


@pytest.mark.parametrize("decide", [lambda kept, sha: kept.put_into(sha, "ape"), KeptPictures.take_out])
def test_a_decision_that_could_not_be_written_can_be_made_again(workspace, monkeypatch, decide) -> None:
    kept, sha = KeptPictures(workspace), record(1).sha256
    kept.keep(record(1), b"data", MANY)

    def full(*_args: object) -> None:
        raise WorkspaceError("No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(KeptPicture, "write", full)
        with pytest.raises(WorkspaceError):
            decide(kept, sha)
    assert [one.sha256 for one in kept.undecided()] == [sha]
    assert decide(kept, sha) and kept.undecided() == []


def test_what_cannot_be_deleted_is_said_in_one_line(workspace) -> None:
    kept = KeptPictures(workspace)
    kept.keep(record(1), b"data", MANY)
    file = workspace.served / "pictures" / f"{record(1).sha256}.png"
    file.unlink()
    file.mkdir()
    with pytest.raises(WorkspaceError, match=r"cannot delete .*\.png: .*then do it again"):
        kept.delete([record(1)])
