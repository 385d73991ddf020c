"""What only object storage does: digests, conditional writes, working copies."""

import os
import secrets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.support.object_storage import BUCKET
from workspace.errors import WorkspaceError
from workspace.files.objects import ObjectFiles

pytestmark = pytest.mark.cluster


@pytest.fixture
def objects(object_storage) -> ObjectFiles:
    return ObjectFiles(f"s3://{BUCKET}/{secrets.token_hex(6)}")


def test_of_many_who_create_a_file_at_once_one_does(objects) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: objects.create("claim", str(number).encode()), range(8)))
    assert won.count(True) == 1
    assert objects.read("claim") == str(won.index(True)).encode()


def test_bytes_that_are_not_those_that_were_written_are_refused(objects) -> None:
    objects.write("models/champion.json", b"good")
    objects._store.put("models/champion.json", b"bad!", attributes={"sha256": "00" * 32})
    with pytest.raises(WorkspaceError, match=r"champion\.json has other bytes than were written"):
        objects.read("models/champion.json")


def test_a_working_copy_is_stored_and_fetched_elsewhere(objects, tmp_path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "model").mkdir(parents=True)
    (here / "config.toml").write_text("a")
    (here / "model" / "card.json").write_text("b")
    for hidden in ("checkpoints", "export"):
        (here / hidden).mkdir()
        (here / hidden / "large").write_text("not stored")
    objects.push("runs/r1", here)
    objects.pull("runs/r1", there)
    assert _files(there) == {"config.toml": "a", "model/card.json": "b"}


def test_only_what_changed_is_stored_again_in_the_order_of_writing(objects, tmp_path, monkeypatch) -> None:
    for number, name in enumerate(("zeta.json", "beta.json", "alpha.json")):
        _write(tmp_path / name, name, age_s=10 - number)
    stored = _recorded(monkeypatch)
    objects.push("runs/r1", tmp_path)
    assert stored == ["runs/r1/zeta.json", "runs/r1/beta.json", "runs/r1/alpha.json"]
    stored.clear()
    objects.push("runs/r1", tmp_path)
    assert stored == []
    _write(tmp_path / "beta.json", "new", age_s=0)
    objects.push("runs/r1", tmp_path)
    assert stored == ["runs/r1/beta.json"]


def test_what_a_killed_step_left_here_is_not_overwritten_by_what_is_stored(objects, tmp_path) -> None:
    _write(tmp_path / "metrics.json", "old", age_s=5)
    objects.push("runs/r1", tmp_path)
    _write(tmp_path / "metrics.json", "newer, not stored", age_s=0)
    objects.pull("runs/r1", tmp_path)
    assert (tmp_path / "metrics.json").read_text() == "newer, not stored"
    objects.push("runs/r1", tmp_path)
    assert objects.read("runs/r1/metrics.json") == b"newer, not stored"


def test_what_was_written_or_deleted_elsewhere_arrives(objects, tmp_path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    _write(here / "metrics.json", "old", age_s=5)
    _write(here / "calibration.json", "old", age_s=5)
    objects.push("runs/r1", here)
    objects.pull("runs/r1", there)
    _write(there / "metrics.json", "new", age_s=0)
    (there / "calibration.json").unlink()
    objects.push("runs/r1", there)
    objects.pull("runs/r1", here)
    assert _files(here) == {"metrics.json": "new"}


def test_a_deleted_working_copy_is_fetched_again(objects, tmp_path) -> None:
    _write(tmp_path / "run" / "metrics.json", "kept", age_s=5)
    objects.push("runs/r1", tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    objects.pull("runs/r1", tmp_path / "run")
    assert _files(tmp_path / "run") == {"metrics.json": "kept"}


def test_only_the_files_that_are_needed_are_fetched(objects, tmp_path) -> None:
    for name in ("dataset.parquet", "model/model.safetensors"):
        objects.write(f"runs/r1/{name}", b"x")
    objects.pull("runs/r1", tmp_path, ["dataset.parquet"])
    assert _files(tmp_path) == {"dataset.parquet": "x"}


def _files(folder) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def _write(file, text: str, age_s: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    then = time.time() - age_s
    os.utime(file, (then, then))


def _recorded(monkeypatch) -> list[str]:
    stored: list[str] = []
    put = ObjectFiles.put

    def recording(self: ObjectFiles, name: str, *words: object, **more: object) -> str:
        stored.append(name)
        return put(self, name, *words, **more)

    monkeypatch.setattr(ObjectFiles, "put", recording)
    return stored
