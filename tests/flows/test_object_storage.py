"""A workspace whose files are in object storage: the same results as in its folder, and every command works."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.support.object_storage import BUCKET
from cli.main import app
from flows.step_table import Phase, steps_of
from gallery.site import Gallery
from pages.thumbnails import JpegThumbnails
from workspace.catalog.records import Download, ImageFacts
from workspace.config.model import load_config
from workspace.files.objects import ObjectFiles
from workspace.resolve import open_workspace
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

STEPS = steps_of(Phase.COLLECT, Phase.DATASET, Phase.RUN)


@dataclass(frozen=True)
class Built:
    """The same workspace twice: in its folder, and with its files at an address."""

    local: Workspace
    placed: Workspace
    address: str

    @property
    def objects(self) -> ObjectFiles:
        return ObjectFiles(self.address)


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, (words, done.output, repr(done.exception))
    return done.output


@pytest.fixture(scope="module")
def built(
    storage_server: Mapping[str, str],
    site: Gallery,
    quick: dict[str, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> Built:
    address = f"s3://{BUCKET}/{secrets.token_hex(6)}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in storage_server.items():
            patch.setenv(name, value)
        root = tmp_path_factory.mktemp("workspaces")
        local, _ = open_workspace(root / "here" / "same", site.keywords, quick)
        placed, _ = open_workspace(root / "there" / "same", site.keywords, quick | {"storage.files": address})
        for workspace in (local, placed):
            for step in STEPS:
                run(step, "-w", workspace.root)
    return Built(local, placed, address)


@pytest.fixture
def both(built: Built, object_storage: dict[str, str]) -> Built:
    return built


def latest(workspace: Workspace) -> RunFolder:
    return workspace.latest_run()


def test_the_data_set_and_the_model_are_the_same_bytes(both) -> None:
    here, there = latest(both.local), latest(both.placed)
    assert here.run_id == there.run_id
    for name in ("dataset.parquet", "model/model.safetensors", "config.toml", "oof.npz"):
        assert (here.root / name).read_bytes() == (there.root / name).read_bytes(), name
        assert both.objects.read(f"runs/{here.run_id}/{name}") == (here.root / name).read_bytes(), name


def test_pictures_runs_and_models_lie_there_alone(both) -> None:
    assert not both.placed.images.exists() and not (both.placed.root / "models").exists()
    assert ImageStore(both.placed).sizes() == ImageStore(both.local).sizes() != {}
    stored = {entry.name for entry in both.objects.entries("")}
    run_id = latest(both.placed).run_id
    assert {"runs/latest", "models/champion.json", "workspace.json", f"runs/{run_id}/report.html"} <= stored
    assert not [path for path in both.placed.scratch.rglob("*") if path.suffix]


def test_a_second_time_nothing_is_done_or_stored_again(both, monkeypatch) -> None:
    stored = []
    put = ObjectFiles.put

    def recording(self: ObjectFiles, name: str, *words: object, **more: object) -> str:
        stored.append(name)
        return put(self, name, *words, **more)

    monkeypatch.setattr(ObjectFiles, "put", recording)
    for step in STEPS:
        run(step, "-w", both.placed.root)
    assert set(stored) <= {"runs/latest"}


def test_no_file_and_no_message_has_a_key(both, storage_server) -> None:
    for file in both.placed.root.rglob("*"):
        if file.is_file():
            assert storage_server["AWS_SECRET_ACCESS_KEY"].encode() not in file.read_bytes(), file


@pytest.mark.parametrize("command", ["status", "models"])
def test_what_tells_of_a_workspace_says_the_same(both, command) -> None:
    here, there = (run(command, "-w", workspace.root) for workspace in (both.local, both.placed))
    undated = [[line for line in text.splitlines() if "live model" not in line] for text in (here, there)]
    if command == "status":
        assert undated[0] == undated[1]
    assert latest(both.placed).run_id in there


def test_predict_answers_the_same_on_a_machine_that_has_the_settings_alone(both, tmp_path) -> None:
    other = tmp_path / "same"
    other.mkdir()
    shutil.copy(both.placed.config_file, other)
    with ImageStore(both.placed).staged(sorted(ImageStore(both.placed).sizes())[:4]) as pictures:
        here, there = (run("predict", "-w", folder, *pictures) for folder in (both.local.root, other))
    assert here == there


@pytest.mark.parametrize("form", ["imagefolder", "parquet", "webdataset"])
def test_every_export_writes_the_same_files(both, form, tmp_path) -> None:
    made = []
    for workspace in (both.local, both.placed):
        out = tmp_path / workspace.root.parent.name
        run("export", "-w", workspace.root, "--to", form, "--out", out)
        made.append({file.relative_to(out): file.read_bytes() for file in out.rglob("*") if file.is_file()})
    assert made[0].keys() == made[1].keys() and len(made[0]) > 3
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []


def test_the_review_page_shows_pictures_without_the_cache(both) -> None:
    shutil.rmtree(both.placed.cache)
    sha = min(ImageStore(both.placed).sizes())
    config = load_config(both.placed.config_file)
    assert JpegThumbnails(both.placed, config).jpeg(sha, "small") == JpegThumbnails(both.local, config).jpeg(
        sha, "small"
    )


def test_what_a_step_left_here_alone_is_stored_by_the_next(both) -> None:
    folder = latest(both.placed)
    folder.report_file.unlink()
    both.objects.remove([f"runs/{folder.run_id}/report.html"])
    run("report", "-w", both.placed.root)
    assert both.objects.read(f"runs/{folder.run_id}/report.html") == folder.report_file.read_bytes()


def test_a_run_that_was_deleted_here_is_there_again(both) -> None:
    before = (latest(both.placed).root / "dataset.parquet").read_bytes()
    shutil.rmtree(both.placed.runs)
    assert (latest(both.placed).root / "dataset.parquet").read_bytes() == before
    assert "nothing has changed" in run("status", "-w", both.placed.root)


def test_forget_deletes_the_picture_and_names_the_run(both) -> None:
    with both.placed.open_catalog() as catalog:
        row = next(row for row in catalog.all(Download) if row.status == "ok")
    said = run("forget", "-w", both.placed.root, "--url", row.image_url, "--yes")
    assert f"run {latest(both.placed).run_id} has 1 of them; its model is live" in said
    assert f"folders in {both.placed.runs} and {both.address}/runs if these must go too" in said
    assert not ImageStore(both.placed).exists(row.sha256)
    assert not [entry for entry in both.objects.entries("images") if row.sha256 in entry.name]


def test_a_picture_that_was_lost_there_is_fetched_again(both) -> None:
    sha, other = sorted(ImageStore(both.placed).sizes())[:2]
    name, damaged = (ImageStore(both.placed).key(one) for one in (sha, other))
    data = both.objects.read(name)
    both.objects.remove([name])
    both.objects.write(damaged, b"x" * (both.objects.size(damaged) or 0))
    with both.placed.open_catalog() as catalog:
        catalog.delete(ImageFacts, "sha256", [other])
    run("clean", "-w", both.placed.root)
    with both.placed.open_catalog() as catalog:
        assert {row.sha256 for row in catalog.all(Download) if row.reason == "file_lost"} == {sha, other}
    assert not ImageStore(both.placed).exists(other)
    run("download", "-w", both.placed.root)
    assert both.objects.read(name) == data
    assert ImageStore(both.placed).exists(other)


def test_a_killed_download_goes_on_and_loses_nothing(
    storage_server, object_storage, site, quick, command, tmp_path
) -> None:
    address = f"s3://{BUCKET}/{secrets.token_hex(6)}"
    slow = {"download.connections": 1, "network.per_host_pause_s": 0.05, "storage.files": address}
    workspace, _ = open_workspace(tmp_path / "killed", site.keywords, quick | slow)
    run("search", "-w", workspace.root)
    words = [Path(sys.executable).parent / "collect-and-train", "download", "-w", workspace.root]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while len(list(ObjectFiles(address).entries("images"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run("download", "-w", workspace.root)
    with workspace.open_catalog() as catalog:
        rows = [row for row in catalog.all(Download) if row.status == "ok"]
    assert rows and {row.sha256: row.bytes for row in rows} == ImageStore(workspace).sizes()
