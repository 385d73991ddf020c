"""Log one run to one place: python -m training.tracking.send, with what and where as JSON on standard input.

A process of its own can be ended when a server does not answer, and its libraries stay out of the training's process.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from training.tracking.values import RUN_TAG, TrackedRun, tracked_run
from workspace.errors import needed_extra
from workspace.storage.paths import Workspace
from workspace.storage.run import open_run

_PARAMS_AT_ONCE, _METRICS_AT_ONCE, _LONGEST_PARAM = 100, 1000, 6000  # MLflow's own limits


def to_mlflow(run: TrackedRun, place: str, experiment: str) -> None:
    """Log a run to an MLflow server or database; one that was logged before, in part or whole, is brought up to date.

    Args:
        run: what is logged.
        place: MLflow's tracking URI.
        experiment: its name; made where there is none.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=place)
    known = client.get_experiment_by_name(experiment)
    experiment_id = known.experiment_id if known else client.create_experiment(experiment, _artifacts_of(place))
    wanted = f"tags.`{RUN_TAG}` = '{run.tags[RUN_TAG]}'"
    earlier = client.search_runs([experiment_id], wanted, max_results=1)
    started = earlier[0] if earlier else client.create_run(experiment_id, tags=dict(run.tags), run_name=run.name)
    logged, now = started.info.run_id, int(time.time() * 1000)
    # What an attempt that was ended has left out. MLflow refuses another value for a name that it has.
    missing = {name: value for name, value in run.params.items() if name not in started.data.params}
    params = [Param(name, value[:_LONGEST_PARAM]) for name, value in missing.items()]
    for start in range(0, len(params), _PARAMS_AT_ONCE):
        client.log_batch(logged, params=params[start : start + _PARAMS_AT_ONCE])
    metrics = [Metric(name, value, now, row.epoch) for row in run.epochs for name, value in row.values.items()]
    metrics += [Metric(name, value, now, 0) for name, value in run.metrics.items()]
    for start in range(0, len(metrics), _METRICS_AT_ONCE):
        client.log_batch(logged, metrics=metrics[start : start + _METRICS_AT_ONCE])
    for file in run.artifacts:
        client.log_artifact(logged, str(file))
    client.set_terminated(logged)


def _artifacts_of(place: str) -> str | None:
    """Where a database's files go: beside it, not in the folder that this process happens to be in."""
    file = place.removeprefix("sqlite:///")
    return (Path(file).resolve().parent / "mlartifacts").as_uri() if file != place else None


def to_tensorboard(run: TrackedRun, place: str, _experiment: str) -> None:
    """Write a run's event file into a folder, in the place of an earlier one."""
    from torch.utils.tensorboard import SummaryWriter

    shutil.rmtree(place, ignore_errors=True)
    with SummaryWriter(place) as writer:
        for row in run.epochs:
            for name, value in row.values.items():
                writer.add_scalar(name, value, row.epoch)
        for name, value in run.metrics.items():
            writer.add_scalar(name, value, 0)
        for title, values in (("settings", run.params), ("tags", run.tags)):
            lines = ["| name | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in values.items())]
            writer.add_text(title, "\n".join(lines))


PLACES: Mapping[str, Callable[[TrackedRun, str, str], None]] = {"mlflow": to_mlflow, "tensorboard": to_tensorboard}
"""By the name of the setting in [tracking]."""


def main() -> None:
    """Read one job, do it, and on a failure leave one line on standard error."""
    job = json.loads(sys.stdin.read())
    run = open_run(Workspace(Path(job["workspace"])), job["run_id"])
    try:
        PLACES[job["kind"]](tracked_run(run), job["place"], job["experiment"])
    except ModuleNotFoundError as error:
        sys.exit(needed_extra("tracking", f"logging to {job['kind']}", str(error.name)))
    except Exception as error:  # whatever a library or a server raises is the reason of one warning
        sys.exit(" ".join(f"{type(error).__name__}: {error}".split()))


if __name__ == "__main__":
    main()
