"""Tracking of finished runs, read back by MLflow's client and TensorBoard's reader; a silent server harms nothing."""

import shutil
import socket
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from training.report import write
from training.tracking.send import to_mlflow
from training.tracking.values import DIGEST_TAG, RUN_TAG, EpochValues, TrackedRun, tracked_run
from workspace.config.model import WorkspaceConfig, load_config, parse_config
from workspace.errors import ConfigError
from workspace.progress import Silent
from workspace.storage.paths import Workspace
from workspace.storage.run import model_settings, open_run

FIXTURE = Path(__file__).parents[1] / "fixtures" / "workspace_f6f4cc8" / "workspace.tar.xz"


class Told(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warned.append(message)


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """A trained workspace with its report."""
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path / "workspace")


def reported(workspace: Workspace, timeout_s: float = 160, **tracking: object) -> Told:
    config, told = load_config(workspace.config_file), Told()
    config = config.model_copy(
        update={"tracking": config.tracking.model_copy(update=tracking | {"timeout_s": timeout_s})}
    )
    write.run(workspace, config, told)
    told.warned = [text for text in told.warned if "logged" in text]
    return told


def test_nothing_is_logged_unless_it_is_asked_for(workspace) -> None:
    told = reported(workspace)
    assert not [text for text in told.said if "logged" in text]
    assert not workspace.latest_run().tracking_file.exists() and not workspace.latest_run().tensorboard.exists()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own queries
@pytest.mark.cluster
def test_mlflow_reads_settings_course_scores_and_report(workspace, tmp_path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra tracking is not installed")
    place = f"sqlite:///{tmp_path}/mlflow.db"
    told = reported(workspace, mlflow=place, experiment="shapes")
    assert told.warned == [] and f"logged to mlflow: {place}" in told.said
    client = mlflow.MlflowClient(tracking_uri=place)
    experiment = client.get_experiment_by_name("shapes")
    (run,) = client.search_runs([experiment.experiment_id])
    frozen = open_run(workspace)
    expected = tracked_run(frozen)
    assert run.info.status == "FINISHED"
    assert run.data.tags[RUN_TAG] == frozen.folder.run_id and len(run.data.tags[DIGEST_TAG]) == 64
    assert run.data.params == expected.params
    assert run.data.params["train.backbone"] == frozen.config.train.backbone
    accuracy = {name: run.data.metrics[f"test/accuracy{name}"] for name in ("", "_low", "_high")}
    assert accuracy["_low"] <= accuracy[""] <= accuracy["_high"]
    for row in expected.epochs:
        for name, value in row.values.items():
            points = {point.step: point.value for point in client.get_metric_history(run.info.run_id, name)}
            assert points[row.epoch] == pytest.approx(value)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"report.html", "metrics.json"}

    again = reported(workspace, mlflow=place, experiment="shapes")
    assert not [text for text in again.said if "logged" in text]
    workspace.latest_run().tracking_file.unlink()
    reported(workspace, mlflow=place, experiment="shapes")
    assert len(client.search_runs([experiment.experiment_id])) == 1  # the same run, brought up to date


class Server:
    """The part of MLflow that is used: it stops answering after some requests, and keeps what it was sent."""

    def __init__(self, answers: int) -> None:
        self.answers, self.runs, self.ended = answers, [], 0

    def count(self) -> None:
        self.answers -= 1
        if self.answers < 0:
            raise TimeoutError("tracking.timeout_s")

    def client(self, tracking_uri: str) -> "Server":
        return self

    def get_experiment_by_name(self, _name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id="1")

    def search_runs(self, *_query: object, max_results: int) -> list[SimpleNamespace]:
        return self.runs

    def create_run(self, _experiment: str, tags: dict[str, str], run_name: str) -> SimpleNamespace:
        self.count()
        self.runs.append(SimpleNamespace(info=SimpleNamespace(run_id="r"), data=SimpleNamespace(params={}, points=[])))
        return self.runs[0]

    def log_batch(self, _run: str, metrics: Sequence[tuple] = (), params: Sequence[tuple[str, str]] = ()) -> None:
        self.count()
        assert len(metrics) <= 1000 and len(params) <= 100
        self.runs[0].data.params |= dict(params)
        self.runs[0].data.points += metrics

    def log_artifact(self, *_file: object) -> None:
        self.count()

    def set_terminated(self, _run: str) -> None:
        self.ended += 1


@pytest.mark.parametrize("answers", range(4))
def test_an_attempt_that_was_ended_is_made_whole_by_the_next(monkeypatch, answers) -> None:
    server = Server(answers)
    entities = SimpleNamespace(Metric=lambda *values: values, Param=lambda *values: values)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=server.client, entities=entities))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    params = {f"s{number}": str(number) for number in range(150)}
    epochs = tuple(EpochValues(number, {"loss": 0.1, "accuracy": 0.9}) for number in range(1, 601))
    run = TrackedRun("pets r1", params, epochs, {"test/accuracy": 0.9}, {RUN_TAG: "r1"}, ())
    with pytest.raises(TimeoutError):
        to_mlflow(run, "http://x.test", "pets")
    server.answers = 100
    to_mlflow(run, "http://x.test", "pets")
    assert len(server.runs) == server.ended == 1
    assert server.runs[0].data.params == params and len(set(server.runs[0].data.points)) >= 1201


@pytest.mark.cluster
def test_tensorboard_reads_scalars_and_settings(workspace) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="the extra tracking is not installed"
    )
    told = reported(workspace, tensorboard=True)
    assert told.warned == []
    events = reader.EventAccumulator(str(workspace.latest_run().tensorboard))
    events.Reload()
    expected = tracked_run(open_run(workspace))
    assert events.Scalars("test/accuracy")[0].value == pytest.approx(expected.metrics["test/accuracy"])
    for row in expected.epochs:
        for name, value in row.values.items():
            assert value == pytest.approx({one.step: one.value for one in events.Scalars(name)}[row.epoch])
    assert set(expected.metrics) <= set(events.Tags()["scalars"])
    assert {"settings/text_summary", "tags/text_summary"} <= set(events.Tags()["tensors"])


@pytest.mark.cluster
def test_a_server_that_does_not_answer_is_one_warning_within_the_time_limit(workspace) -> None:
    pytest.importorskip("mlflow", reason="the extra tracking is not installed")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        place = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        told = reported(workspace, mlflow=place, timeout_s=4)
    assert time.monotonic() - began < 60
    (warning,) = told.warned
    assert place in warning and "4 s (tracking.timeout_s)" in warning and "collect-and-train report" in warning
    assert "\n" not in warning


@pytest.mark.cluster
def test_a_server_that_refuses_is_one_warning_with_its_reason(workspace) -> None:
    pytest.importorskip("mlflow", reason="the extra tracking is not installed")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    (warning,) = reported(workspace, mlflow=f"http://127.0.0.1:{port}").warned
    assert "refused" in warning and "\n" not in warning


def test_a_missing_package_is_one_warning_that_names_the_extra(workspace, monkeypatch, tmp_path) -> None:
    (tmp_path / "none" / "mlflow").mkdir(parents=True)
    (tmp_path / "none" / "mlflow" / "__init__.py").write_text("raise ModuleNotFoundError('no', name='mlflow')")
    monkeypatch.setattr("training.tracking.track._IMPORTABLE_FROM", f"{tmp_path / 'none'}:{Path(__file__).parents[2]}")
    (warning,) = reported(workspace, mlflow="mlruns").warned
    assert "needs mlflow, which the extra `tracking` brings" in warning and "[tracking]" in warning


def test_no_secret_is_logged_and_none_is_taken_in_the_address(workspace) -> None:
    run = open_run(workspace)
    secrets = {"search.credentials": {"FLICKR_API_KEY": "hidden-key"}, "network.contact": "hidden@example.org"}
    secrets |= {"search.results_page.url": "http://u:hidden@h/{keyword}?key=hidden"}
    config = load_config(workspace.config_file, secrets)
    object.__setattr__(run, "config", config)
    tracked = tracked_run(run)
    assert "hidden" not in str((tracked.params, tracked.tags, tracked.metrics))
    text = '[classes]\na = "a"\nb = "b"\n[tracking]\nmlflow = "https://me:word@mlflow.example.org"'
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_USERNAME"):
        parse_config(text, "workspace.toml")


def test_tracking_is_no_part_of_a_run_s_identity() -> None:
    plain = WorkspaceConfig.model_validate({"classes": {"a": "a", "b": "b"}})
    logged = plain.model_copy(
        update={"tracking": plain.tracking.model_copy(update={"mlflow": "x", "tensorboard": True})}
    )
    assert model_settings(plain) == model_settings(logged)


def test_a_run_without_fine_tuning_and_an_unwritable_note_change_nothing(workspace, monkeypatch) -> None:
    folder = workspace.latest_run()
    folder.tracking_file.write_text("{")
    monkeypatch.setattr("training.tracking.track._send", lambda *_: "")
    assert "logged to tensorboard" in " ".join(reported(workspace, tensorboard=True).said)
    assert not [text for text in reported(workspace, tensorboard=True).said if "logged" in text]
    shutil.rmtree(folder.tensorboard, ignore_errors=True)
