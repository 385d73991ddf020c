"""Negatives set the limits of "none" with the own pictures, measure them, and speak in what is published."""

import dataclasses
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from cli.main import app
from preprocessing.images.pixel_cache import PixelCache
from training import evaluate, publish
from training.inference.classifier import Classifier
from training.stats.calibration import Calibration
from training.stats.ood import OodLimits
from workspace.catalog.records import Download, Hit, Override, Sample
from workspace.clock import utc_now
from workspace.config.model import WorkspaceConfig, load_config
from workspace.storage.champion import read_champion, read_decisions
from workspace.storage.dataset import dataset_bytes
from workspace.storage.image_store import ImageStore
from workspace.storage.metrics import Metrics
from workspace.storage.paths import Workspace
from workspace.storage.run import open_run

FIXTURE = Path(__file__).parents[1] / "fixtures" / "workspace_f6f4cc8" / "workspace.tar.xz"
SETTING, MEASURING = 30, 20


def unpacked(folder: Path) -> tuple[Workspace, WorkspaceConfig]:
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    workspace = Workspace(folder / "workspace")
    return workspace, load_config(workspace.latest_run().config_file, frozen=True)


def add_negatives(workspace: Workspace, config: WorkspaceConfig) -> list[Sample]:
    """Freeze pictures of noise as the negatives of the latest run."""
    cache, rows = PixelCache(workspace, config.clean), []
    for number in range(SETTING + MEASURING):
        rng = np.random.default_rng(number)
        sha, split = f"{number:064x}", "val" if number < SETTING else "test"
        side = int(rng.integers(1, 40))
        noise = np.kron(rng.integers(0, 256, (160 // side + 1, 160 // side + 1, 3)), np.ones((side, side, 1)))
        cache.write(sha, noise[:160, :160].astype(np.uint8))
        ImageStore(workspace).put(sha, ".png", b"there", durable=False)
        rows.append(Sample(sha, "none", split, f"g{number // 2}", f"images/{sha}", *[""] * 9, 160, 160))
    workspace.latest_run().negatives_file.write_bytes(dataset_bytes(rows))
    return rows


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Metrics]:
    workspace, config = unpacked(tmp_path_factory.mktemp("negatives"))
    add_negatives(workspace, config)
    evaluate.run(workspace, config)
    return workspace, Metrics.read(workspace.latest_run().metrics_file)


def test_their_rate_is_measured_on_those_that_set_nothing_with_its_interval(measured) -> None:
    workspace, metrics = measured
    found = metrics.negatives
    assert (found.n, found.groups, found.set_by) == (MEASURING, MEASURING // 2, SETTING)
    measuring = {one.sha256 for one in open_run(workspace).negatives() if one.split == "test"}
    assert {one.sha256 for one in found.predictions} == measuring
    model = Classifier.load(workspace.latest_run().model, "cpu")
    cache = PixelCache(workspace, load_config(workspace.latest_run().config_file, frozen=True).clean)
    answers = model.answers([cache.read(one.sha256) for one in found.predictions])
    assert [one.answered for one in answers] == [one.accepted for one in found.predictions]
    assert Counter(one.best for one in answers if one.answered) == Counter(found.taken_for)
    assert found.rate.value == np.mean([one.answered for one in answers])
    low, high = found.rate.interval
    assert low <= found.rate.value <= high and high - low > 0.25  # 10 independent ones
    assert all(row.negatives_share is not None for row in metrics.rejection.table)


def test_report_card_summary_and_status_say_it(measured) -> None:
    workspace, metrics = measured
    result = CliRunner().invoke(app, ["report", "-w", str(workspace.root)])
    assert result.exit_code == 0, result.output
    run, rate = workspace.latest_run(), metrics.negatives.rate.value
    assert f"{100 * rate:.1f} % of {MEASURING} such pictures (negatives, 10 independent)".replace("%", "%") in (
        run.readme_file.read_text()
    )
    report = run.report_file.read_text()
    assert "False acceptance:" in report and f"of {MEASURING} negatives" in report and "negatives answered" in report
    status = CliRunner().invoke(app, ["status", "-w", str(workspace.root)]).output
    assert f"{rate:.3f} of {MEASURING} negatives get a class" in " ".join(status.split())


def test_a_run_without_them_has_the_limits_and_the_file_that_it_always_had(tmp_path: Path) -> None:
    workspace, config = unpacked(tmp_path)
    before = Calibration.read(workspace.latest_run().model)
    workspace.latest_run().metrics_file.unlink()
    evaluate.run(workspace, config)
    after = Calibration.read(workspace.latest_run().model)
    limits = [[one.min_probability for one in calibration.limits] for calibration in (after, before)]
    assert limits[0] == pytest.approx(limits[1], rel=0.002)  # the temperature's fit has come to doubt labels since
    assert "negatives" not in workspace.latest_run().metrics_file.read_text()


@pytest.fixture
def arena(measured, tmp_path: Path) -> tuple[Workspace, WorkspaceConfig]:
    """A copy in which the live model `old` is always wrong, and refuses every negative; `new` is right."""
    shutil.copytree(measured[0].root, tmp_path / "ws")
    workspace = Workspace(tmp_path / "ws")
    shutil.rmtree(workspace.root / "models")
    workspace.latest_run().root.rename(workspace.runs / "new")
    shutil.copytree(workspace.runs / "new", workspace.runs / "old")
    weights = workspace.run("old").weights_file
    state = load_file(weights)
    for name in ("head.weight", "head.bias"):
        state[name] = torch.roll(state[name], 1, dims=0).contiguous()
    save_file(state, weights)
    set_limits(workspace, "old", OodLimits(0.95, 0.0, -1.0))
    for sample in open_run(workspace, "new").samples():
        ImageStore(workspace).put(sample.sha256, ".jpg", b"there", durable=False)
    workspace.point_to("old")
    config = load_config(workspace.run("new").config_file, {"retrain.publish_level": 0.3}, frozen=True)
    publish.run(workspace, config)
    workspace.point_to("new")
    return workspace, config


def set_limits(workspace: Workspace, run_id: str, limits: OodLimits) -> None:
    folder = workspace.run(run_id).model
    dataclasses.replace(Calibration.read(folder), limits=(limits,)).write(folder)


def test_a_better_model_that_gives_classes_to_what_is_none_is_not_published(arena) -> None:
    workspace, config = arena
    set_limits(workspace, "new", OodLimits(0.95, 0.0, 2.0))
    publish.run(workspace, config)
    assert read_champion(workspace).champion == "old"
    last = read_decisions(workspace)[-1]
    words = (
        f"it gives classes to more pictures that are of none: of {MEASURING} negatives (10 independent) the new model "
        "refuses 0, the earlier one "
    )
    assert last.why.startswith(words) and "better: of" in last.why
    assert last.numbers["negatives"]["champion_right"] == MEASURING


def test_one_that_refuses_as_well_is(arena) -> None:
    workspace, config = arena
    set_limits(workspace, "new", OodLimits(0.95, 0.0, -1.0))
    publish.run(workspace, config)
    assert read_champion(workspace).champion == "new"


def test_negatives_that_one_model_has_set_its_limits_by_or_a_person_dropped_do_not_count(arena) -> None:
    workspace, config = arena
    rows = open_run(workspace, "old").negatives()
    moved = [dataclasses.replace(one, split="val") if one.group < "g2" else one for one in rows]
    workspace.run("old").negatives_file.write_bytes(dataset_bytes(moved))
    measuring = [one for one in rows if one.split == "test"]
    with workspace.open_catalog() as catalog:
        catalog.put([Override(measuring[-1].sha256, "none", "drop", "", utc_now())])
    left = {one.group for one in moved if one.split == "test"} - {measuring[-1].group}
    publish.run(workspace, config)
    assert read_decisions(workspace)[-1].numbers["negatives"]["groups"] == len(left)


def test_negatives_of_no_group_are_left_out_by_themselves_and_groups_of_today_vote_once(arena) -> None:
    workspace, config = arena
    alone = [dataclasses.replace(one, group="") for one in open_run(workspace, "old").negatives()]
    for run_id, absent in (("old", alone[-1]), ("new", alone[-2])):
        workspace.run(run_id).negatives_file.write_bytes(dataset_bytes([one for one in alone if one != absent]))
    dropped, *left = [one for one in alone if one.split == "test"]
    jane = {f"https://jane.test/{one.sha256}": one.sha256 for one in (left[-1], left[-2])}
    with workspace.open_catalog() as catalog:
        catalog.put([Override(dropped.sha256, "none", "drop", "", utc_now())])
        catalog.put([Hit("none", "none", "site", 1, url, creator="jane") for url in jane])
        catalog.put([Download(url, "ok", sha256=sha) for url, sha in jane.items()])
    publish.run(workspace, config)
    numbers = read_decisions(workspace)[-1].numbers["negatives"]
    assert (numbers["pictures"], numbers["groups"]) == (len(left), len(left) - 1)
