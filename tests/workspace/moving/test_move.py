"""Moving a workspace to object storage and back: everything arrives, and a kill at any moment loses nothing."""

import hashlib
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.support.object_storage import BUCKET
from cli.main import app
from workspace.files.atomic import write_atomic
from workspace.files.objects import ObjectFiles
from workspace.files.owner import MARKER
from workspace.moving.move import read_move
from workspace.resolve import open_workspace
from workspace.storage.champion import Decision, read_champion, read_decisions, record_decision
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

pytestmark = pytest.mark.cluster

IMAGES = {hashlib.sha256(data).hexdigest(): data for data in (b"image %d" % number for number in range(12))}
RUN = {
    "config.toml": b"seed = 0\n",
    "dataset.parquet": b"PAR1",
    "model/card.json": b"{}",
    "model/model.safetensors": b"w",
}


@pytest.fixture
def address(object_storage: dict[str, str]) -> str:
    return f"s3://{BUCKET}/{secrets.token_hex(6)}/cats"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made, _ = open_workspace(tmp_path / "cats", ["cat", "dog"])
    for sha, data in IMAGES.items():
        ImageStore(made).put(sha, ".jpg", data, durable=False)
    for name, data in RUN.items():
        write_atomic(made.root / "runs" / "r1" / name, data)
    write_atomic(made.root / "runs" / "r1" / "export" / "model.onnx", b"stays")
    made.point_to("r1")
    record_decision(made, Decision("r1", "published", "r1", "the first model", "2026-11-26T00:00:00"))
    return made


def move(workspace: Workspace, to: str) -> str:
    done = CliRunner().invoke(app, ["move", "-w", str(workspace.root), "--to", to])
    assert done.exit_code == 0, repr(done.exception)
    return done.output


def assert_whole(workspace: Workspace) -> None:
    assert {sha: ImageStore(workspace).get(sha) for sha in IMAGES} == IMAGES
    assert set(ImageStore(workspace).sizes()) == set(IMAGES)
    folder = workspace.latest_run()
    assert {name: (folder.root / name).read_bytes() for name in RUN} == RUN
    assert [decision.run_id for decision in read_decisions(workspace)] == ["r1"]
    assert (read_champion(workspace) or pytest.fail("no champion")).champion == "r1"


def local_files(workspace: Workspace) -> set[str]:
    return {path.name for folder in ("images", "models") for path in (workspace.root / folder).rglob("*")}


def test_a_workspace_goes_there_and_back(workspace, address) -> None:
    before = workspace.config_file.read_text()
    said = move(workspace, address)
    assert f"now in {address}" in said and "19 files" in said
    assert f'files = "{address}"' in workspace.config_file.read_text()
    assert local_files(workspace) == set()
    assert_whole(workspace)
    assert "is in" in move(workspace, address)
    move(workspace, "local")
    assert workspace.config_file.read_text() == before
    assert_whole(workspace)
    assert list(ObjectFiles(address).entries("")) == []
    assert (workspace.root / "runs" / "r1" / "export" / "model.onnx").read_bytes() == b"stays"
    assert sorted(path.name for path in workspace.root.iterdir()) == [
        "images",
        "lock.json",
        "models",
        "runs",
        "workspace.toml",
    ]


def test_from_one_bucket_to_another_place(workspace, address) -> None:
    move(workspace, address)
    move(workspace, f"{address}-2")
    assert_whole(workspace)
    assert list(ObjectFiles(address).entries("")) == []


def test_another_machine_finds_the_workspace_where_its_toml_says(workspace, address, tmp_path) -> None:
    move(workspace, address)
    other = Workspace(tmp_path / "other")
    write_atomic(other.config_file, workspace.config_file.read_bytes())
    assert_whole(other)


def test_a_prefix_with_another_workspace_is_refused_by_move_and_by_hand(workspace, address, tmp_path) -> None:
    move(workspace, address)
    other, _ = open_workspace(tmp_path / "dogs", ["dog", "wolf"])
    ImageStore(other).put("ab" * 32, ".jpg", b"other")
    done = CliRunner().invoke(app, ["move", "-w", str(other.root), "--to", address])
    assert "holds the files of another workspace; name another prefix" in str(done.exception)
    with other.config_file.open("a") as file:
        file.write("\n")
    text = other.config_file.read_text().replace('files = ""', f'files = "{address}"')
    other.config_file.write_text(text)
    done = CliRunner().invoke(app, ["status", "-w", str(other.root)])
    assert "holds the files of another workspace" in str(done.exception)
    assert_whole(workspace)


def test_a_prefix_with_something_else_is_refused(workspace, address) -> None:
    ObjectFiles(address).write("thesis.pdf", b"important")
    done = CliRunner().invoke(app, ["move", "-w", str(workspace.root), "--to", address])
    assert "is not empty (thesis.pdf lies there)" in str(done.exception)
    assert ObjectFiles(address).read("thesis.pdf") == b"important"


def test_a_place_that_was_written_into_the_settings_by_hand_does_not_lose_what_is_stored(workspace, address) -> None:
    text = workspace.config_file.read_text().replace('files = ""', f'files = "{address}"')
    workspace.config_file.write_text(text)
    done = CliRunner().invoke(app, ["clean", "-w", str(workspace.root)])
    assert f"--to {address}" in str(done.exception)
    assert len(local_files(workspace) & {f"{sha}.jpg" for sha in IMAGES}) == len(IMAGES)


def test_a_bucket_that_was_emptied_is_no_workspace_without_pictures(workspace, address) -> None:
    move(workspace, address)
    place = ObjectFiles(address)
    place.remove([entry.name for entry in place.entries("")])
    done = CliRunner().invoke(app, ["clean", "-w", str(workspace.root)])
    assert f"{MARKER} is gone" in str(done.exception)


_KILL = """
import os, signal, sys
from pathlib import Path
from workspace.config.storage import StorageConfig
from workspace.files.local import LocalFiles
from workspace.files.objects import ObjectFiles
from workspace.moving import files, move, places
from workspace.storage.paths import Workspace

owner, name, left = {moment}

def dying(work):
    def call(*words, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*words, **more)
    return call

setattr(owner, name, dying(getattr(owner, name)))
move.move(Workspace(Path(sys.argv[1])), StorageConfig(files=sys.argv[2]))
"""
MOMENTS = (
    "(ObjectFiles, 'put', 0)",
    "(ObjectFiles, 'put', 5)",
    "(ObjectFiles, 'get', 8)",
    "(ObjectFiles, 'get', 15)",
    "(LocalFiles, 'write', 4)",
    "(move, '_switch', 0)",
    "(files.FileMover, 'clear', 0)",
    "(places.Folder, 'settle', 0)",
    "(places.Bucket, 'settle', 0)",
)


def killed(workspace: Workspace, to: str, moment: str) -> bool:
    """Move in a process that is killed at a moment; return whether the moment came."""
    done = subprocess.run(
        [sys.executable, "-c", _KILL.format(moment=moment), workspace.root, to],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_moment_loses_nothing_and_the_same_command_goes_on(workspace, address, moment) -> None:
    came = killed(workspace, address, moment)
    assert_whole(workspace)
    move(workspace, address)
    assert_whole(workspace)
    assert local_files(workspace) == set() and read_move(workspace) is None
    came |= killed(workspace, "", moment)
    assert_whole(workspace)
    move(workspace, "local")
    assert_whole(workspace)
    assert list(ObjectFiles(address).entries("")) == [] and read_move(workspace) is None
    assert came


def test_a_move_that_was_killed_can_turn_back(workspace, address) -> None:
    assert killed(workspace, address, "(ObjectFiles, 'put', 5)")
    move(workspace, "local")
    assert_whole(workspace)
    assert list(ObjectFiles(address).entries("")) == [] and read_move(workspace) is None


def test_a_third_place_waits_until_the_move_is_finished(workspace, address) -> None:
    assert killed(workspace, address, "(ObjectFiles, 'put', 5)")
    done = CliRunner().invoke(app, ["move", "-w", str(workspace.root), "--to", f"{address}-2"])
    assert f"finish it first: collect-and-train move -w {workspace.root} --to {address}" in str(done.exception)


def test_forget_waits_until_a_move_is_finished_since_copies_would_stay(workspace, address) -> None:
    assert killed(workspace, address, "(ObjectFiles, 'put', 5)")
    done = CliRunner().invoke(app, ["forget", "-w", str(workspace.root), "--creator", "Ann", "--yes"])
    assert f"finish it first: collect-and-train move -w {workspace.root} --to {address}" in str(done.exception)
    move(workspace, address)
    assert read_move(workspace) is None


def test_what_was_deleted_between_two_attempts_does_not_stay_in_the_copy(workspace, address) -> None:
    assert killed(workspace, address, "(move, '_switch', 0)")
    gone = min(IMAGES)
    ImageStore(workspace).delete(gone)
    move(workspace, address)
    assert set(ImageStore(workspace).sizes()) == set(IMAGES) - {gone}


def test_a_copy_that_arrives_with_other_bytes_is_found_and_copied_again(workspace, address) -> None:
    damaged = f"images/{min(IMAGES)[:2]}/{min(IMAGES)}.jpg"
    write = ObjectFiles.write

    def damaging(self: ObjectFiles, name: str, data: bytes, **more: bool) -> None:
        write(self, name, data[::-1] if name == damaged else data, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectFiles, "write", damaging)
        done = CliRunner().invoke(app, ["move", "-w", str(workspace.root), "--to", address])
    assert "1 of 19 files arrived with other bytes" in str(done.exception)
    assert_whole(workspace)
    move(workspace, address)
    assert_whole(workspace)
