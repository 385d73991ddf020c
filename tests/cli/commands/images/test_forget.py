"""Forget, end to end against a site: files and all that was made of them go, rows stay, and nothing comes back."""

import hashlib
import io
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.demo import demo_config
from cli.main import app
from flows.collecting import collect_until_clean
from flows.step_table import step_function
from gallery.site import Gallery
from training import train
from workspace.catalog.records import Download, Hit, ImageFacts, Override, Verdict
from workspace.config.model import WorkspaceConfig, load_config
from workspace.config.template import render_config
from workspace.errors import DatasetError
from workspace.progress import SILENT
from workspace.served.kept import KeptPicture, KeptPictures, Limits
from workspace.storage.arrays import ArrayStore
from workspace.storage.champion import Decision, record_decision
from workspace.storage.dataset import read_dataset
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.storage.withdrawal import withdrawn_files

CHECKOUT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def site():
    with Gallery.rendered(per_class=12, seed=8) as gallery:
        gallery.collection.body = cache(gallery.collection.body)  # drawn once for all tests
        yield gallery


def collect(workspace: Workspace, config: WorkspaceConfig) -> None:
    collect_until_clean(workspace, config, lambda name, n: step_function(name)(workspace, config, SILENT, n))


@pytest.fixture
def workspace(collected, tmp_path) -> Workspace:
    """A copy of it, to be changed."""
    return Workspace(shutil.copytree(collected.root, tmp_path / "w"))


@pytest.fixture(scope="module")
def collected(site, tmp_path_factory) -> Workspace:
    """Two classes collected, split, and with features of every kept picture and its views."""
    made = demo_config(site)
    names = list(made.classes)[:2]
    config = WorkspaceConfig.model_validate(
        made.model_dump()
        | {"classes": {name: made.classes[name] for name in names}}
        | {"search": made.search.model_dump() | {"per_class": 9}}
        | {"clean": {"workers": 1}, "split": {"min_per_class": 3}}
    )
    workspace = Workspace(tmp_path_factory.mktemp("collected"))
    workspace.config_file.write_text(render_config(config))
    collect(workspace, config)
    step_function("split")(workspace, config, SILENT)
    with workspace.open_catalog() as catalog:
        keys = sorted(sha for sha, _ in catalog.kept())
    ArrayStore(workspace.cache / "features-x").add(keys, np.arange(len(keys), dtype=np.float32)[:, None])
    views = [f"{key}:{view}" for key in keys for view in (1, 2)]
    ArrayStore(workspace.cache / "activations-x").add(views, np.zeros((len(views), 2), np.float16))
    pairs = [f"{keys[0]}:{key}" for key in keys[1:]]
    ArrayStore(workspace.cache / "agreements-x").add(pairs, np.zeros((len(pairs), 2), np.float32))
    return workspace


def rows(workspace: Workspace, kind):
    with workspace.open_catalog() as catalog:
        return catalog.all(kind)


def forget(workspace: Workspace, *words: str, answer: str | None = None):
    return CliRunner().invoke(app, ["forget", "-w", str(workspace.root), *words], input=answer)


def everything(workspace: Workspace) -> dict[Path, bytes]:
    folders = (workspace.images, workspace.cache, workspace.runs)
    return {file: file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()}


def files_of(workspace: Workspace, creator: str) -> set[str]:
    urls = {hit.image_url for hit in rows(workspace, Hit) if hit.creator == creator}
    return {row.sha256 for row in rows(workspace, Download) if row.image_url in urls and row.sha256}


def one_in_the_dataset(workspace: Workspace) -> str:
    return Counter(sample.creator for sample in read_dataset(workspace.latest_run().dataset_file)).most_common(1)[0][0]


def test_a_creators_pictures_go_with_all_that_was_made_of_them_and_never_come_back(workspace, site) -> None:
    creator = one_in_the_dataset(workspace)
    gone = files_of(workspace, creator)
    run = workspace.latest_run()
    frozen = [sample for sample in read_dataset(run.dataset_file) if sample.sha256 in gone]
    record_decision(workspace, Decision(run.run_id, "published", run.run_id, "the first model", "2026-01-01"))
    with workspace.open_catalog() as catalog:
        catalog.put([Override(frozen[0].sha256, frozen[0].label, "keep")])
    before = {row.image_url: row for row in rows(workspace, Download)}

    done = forget(workspace, "--creator", creator.upper(), "--yes")
    assert done.exit_code == 0, done.output
    assert f"{len(gone)} stored pictures" in done.output
    assert f"run {run.run_id} has {len(frozen)} of them; its model is live" in done.output

    names = " ".join(str(file) for file in everything(workspace))
    assert not [sha for sha in gone if sha in names]
    for name in ("features-x", "activations-x", "agreements-x"):
        listings = [file.read_text() for file in (workspace.cache / name).glob("*.json")]
        assert not [sha for sha in gone if sha in "".join(listings)], name
    for name, per_key in (("features-x", 1), ("activations-x", 2)):
        store = ArrayStore(workspace.cache / name)
        assert len(store._locations) == per_key * len({sha for sha, _ in kept(workspace)} | left(workspace, gone))
    for kind in (ImageFacts, Verdict, Override):
        assert not gone & {row.sha256 for row in rows(workspace, kind)}
    withdrawn = [row for row in rows(workspace, Download) if row.status == "withdrawn"]
    assert {row.sha256 for row in withdrawn} - {""} == gone
    assert all(row.sha256 == before[row.image_url].sha256 for row in withdrawn if row.image_url in before)
    assert [
        sample for sample in read_dataset(run.dataset_file) if sample.sha256 in gone
    ] == frozen  # the frozen list keeps them

    config = load_config(workspace.config_file)
    with pytest.raises(DatasetError, match=rf"{len(frozen)} of the .* withdrawn .* collect-and-train split"):
        train.run(workspace, config)
    asked = site.requests["image"]
    collect(workspace, config)  # replaces what is missing, and fetches nothing of this creator
    after = rows(workspace, Download)
    new = len(after) - len(before | {row.image_url: row for row in withdrawn})
    assert site.requests["image"] - asked == new
    assert not files_of(workspace, creator) & {path.stem for path in workspace.images.glob("*/*")}
    step_function("split")(workspace, config, SILENT)
    assert not gone & {sample.sha256 for sample in read_dataset(workspace.latest_run().dataset_file)}


def kept(workspace: Workspace) -> list[tuple[str, str]]:
    with workspace.open_catalog() as catalog:
        return catalog.kept()


def left(workspace: Workspace, gone: set[str]) -> set[str]:
    return {sample.sha256 for sample in read_dataset(workspace.latest_run().dataset_file)} - gone


def test_the_same_bytes_at_another_address_do_not_come_back(workspace, site) -> None:
    row = next(row for row in rows(workspace, Download) if row.status == "ok")
    hit = next(hit for hit in rows(workspace, Hit) if hit.image_url == row.image_url)
    assert forget(workspace, "--url", hit.page_url, "-y").exit_code == 0
    again = f"{row.image_url}?again"
    with workspace.open_catalog() as catalog:
        catalog.add_new([Hit(hit.label, hit.keyword, "other", 0, again)])
    config = load_config(workspace.config_file, {"search.per_class": 50})
    step_function("download")(workspace, config, SILENT)
    outcome = {row.image_url: row for row in rows(workspace, Download)}[again]
    assert (outcome.status, outcome.reason, outcome.sha256) == ("withdrawn", "same_bytes", row.sha256)
    assert not list(workspace.images.glob(f"*/{row.sha256}*"))
    step_function("clean")(workspace, config, SILENT)
    assert row.sha256 not in {sha for sha, _ in kept(workspace)}


def test_a_withdrawn_picture_does_not_come_back_through_the_inbox(workspace) -> None:
    row = next(row for row in rows(workspace, Download) if row.status == "ok")
    label = next(hit.label for hit in rows(workspace, Hit) if hit.image_url == row.image_url)
    file = workspace.inbox / label / "the copy é.jpg"
    file.parent.mkdir(parents=True)
    shutil.copy(workspace.root / ImageStore(workspace).key(row.sha256), file)
    assert forget(workspace, "--url", row.image_url, "-y").exit_code == 0
    config = load_config(workspace.config_file, {"retrain.settle_s": 0})
    step_function("inbox")(workspace, config, SILENT)
    taken = next(row for row in rows(workspace, Download) if row.image_url.startswith("inbox:"))
    assert (taken.status, taken.reason) == ("withdrawn", "same_bytes")
    assert not list(workspace.images.glob(f"*/{row.sha256}*"))
    assert (
        f"your own files, which stay where they are: inbox/{label}/the copy é.jpg"
        in forget(workspace, "--url", row.image_url, "-y").output
    )


def test_a_licence_goes_by_name_and_by_part(workspace) -> None:
    named = {hit.license for hit in rows(workspace, Hit)}
    assert {"by-nc", "by"} <= named
    assert forget(workspace, "--license", "CC BY-NC 2.0", "--yes").exit_code == 0
    by_url = {row.image_url: row.status for row in rows(workspace, Download)}
    for hit in rows(workspace, Hit):
        if hit.license == "by-nc":
            assert by_url[hit.image_url] == "withdrawn"
    assert [hit for hit in rows(workspace, Hit) if hit.license == "by" and by_url.get(hit.image_url) == "ok"]


def test_a_dry_run_and_an_unasked_one_change_nothing(workspace) -> None:
    creator, before = one_in_the_dataset(workspace), everything(workspace)
    downloads = rows(workspace, Download)
    dry = forget(workspace, "--creator", creator, "--dry-run")
    assert dry.exit_code == 0
    assert "it has no model yet" in dry.output
    assert "Nothing was changed" in dry.output
    unasked = forget(workspace, "--creator", creator, answer="")
    assert unasked.exit_code == 2
    assert "--yes" in unasked.output
    assert everything(workspace) == before
    assert rows(workspace, Download) == downloads


def test_forget_that_was_killed_is_finished_by_the_same_command(workspace, monkeypatch) -> None:
    creator = one_in_the_dataset(workspace)
    gone = files_of(workspace, creator)
    monkeypatch.setattr(
        "workspace.storage.withdrawal.remove_files", lambda *_: None
    )  # as if killed before the files went
    forget(workspace, "--creator", creator, "--yes")
    assert {path.stem for path in workspace.images.glob("*/*")} & gone
    monkeypatch.undo()
    again = forget(workspace, "--creator", creator, "--yes")
    assert f"0 stored pictures ({len(gone)} more were withdrawn before)" in again.output
    assert not {path.stem for path in workspace.images.glob("*/*")} & gone


KILLED_WRITE = """
import os, sys
from pathlib import Path
from workspace.files.atomic import write_atomic
Path.replace = lambda *_: os._exit(9)
write_atomic(Path(sys.argv[1]), b"half")
"""


def test_what_kills_left_of_a_picture_goes_with_it(workspace) -> None:
    creator = one_in_the_dataset(workspace)
    sha = min(files_of(workspace, creator))
    for shard in ("features-x", "activations-x"):  # killed between the arrays and their keys
        ArrayStore(workspace.cache / shard).add([sha, "other"], np.zeros((2, 3), np.float32))
        next(path for path in (workspace.cache / shard).glob("*.json") if b"other" in path.read_bytes()).unlink()
    pixels = next(workspace.cache.glob(f"pixels-*/{sha[:2]}/{sha}.npy"))
    stored = next(workspace.images.glob(f"*/{sha}.*"))
    before = everything(workspace).keys()
    for file in (pixels, stored, workspace.cache / "features-x" / "0123456789abcdef.npy"):
        assert subprocess.run([sys.executable, "-c", KILLED_WRITE, file], cwd=CHECKOUT, check=False).returncode == 9
    assert len(everything(workspace).keys() - before) == 3
    assert forget(workspace, "--creator", creator, "--yes").exit_code == 0
    left = everything(workspace)
    assert [file for file in left if file.suffix == ".tmp"] == []
    listed = {file for folder in workspace.cache.glob("*-x") for file in folder.glob("*.npy")}
    assert listed and {file for file in listed if file.with_suffix(".json") not in left} == set()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "--creator, --url, --license or --file"),
        (("--license", "mine"), "known names are nc"),
        (("--creator", " "), "nothing"),
    ],
)
def test_what_names_nothing_is_refused(workspace, words, part) -> None:
    done = forget(workspace, *words, "--yes")
    assert done.exit_code == 2
    assert part in " ".join(done.output.replace("│", " ").split())


def keep_served(workspace: Workspace, data: bytes, url: str = "") -> str:
    sha = hashlib.sha256(data).hexdigest()
    facts = {"sha256": sha, "suffix": ".png", "bytes": len(data), "kept_at": "2026-01-01", "run_id": "r", "best": "x"}
    record = KeptPicture(version=1, probability=0.1, url=url, **facts)
    assert KeptPictures(workspace).keep(record, data, Limits(9, 10**9))
    return sha


def test_a_picture_that_the_service_kept_is_forgotten_by_its_file_or_its_address(workspace, tmp_path):
    config = load_config(workspace.config_file)
    label = next(iter(config.classes))
    by_file, by_url = keep_served(workspace, png(1)), keep_served(workspace, png(2), "https://x.test/2.png")
    taken = keep_served(workspace, png(3))
    kept = KeptPictures(workspace)
    assert kept.put_into(taken, label)
    step_function("inbox")(
        workspace, config.model_copy(update={"retrain": config.retrain.model_copy(update={"settle_s": 0})}), SILENT
    )
    assert ImageStore(workspace).exists(taken)
    for number in (1, 3):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    words = ("--file", str(tmp_path / "1.png"), "--file", str(tmp_path / "3.png"))
    shown = forget(workspace, *words, "--dry-run")
    assert "2 pictures that the service kept" in shown.output and kept.knows(by_file)
    assert forget(workspace, *words, "--yes").exit_code == 0
    assert forget(workspace, "--url", "https://x.test/2.png", "--yes").exit_code == 0
    assert not any(map(KeptPictures(workspace).knows, (by_file, by_url, taken)))
    assert not list((workspace.served / "pictures").iterdir()) and not list(workspace.inbox.glob("*/served-*"))
    assert not ImageStore(workspace).exists(taken)
    states = {row.sha256: (row.status, row.reason) for row in rows(workspace, Download)}
    assert states[taken] == ("withdrawn", "file")
    with workspace.open_catalog() as catalog:
        assert {by_file, taken} <= withdrawn_files(catalog)  # so that neither is taken in, or kept, again


def test_a_file_that_cannot_be_read_is_named(workspace, tmp_path):
    assert "cannot be read" in forget(workspace, "--file", str(tmp_path / "gone.png"), "--yes").output


def png(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (80, 80), (number, 10, 10)).save(out, "PNG")
    return out.getvalue()
