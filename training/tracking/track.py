"""Send a finished run to where [tracking] says; whatever happens there, the run is whole and the command goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from workspace.config.model import WorkspaceConfig
from workspace.files.atomic import write_json
from workspace.names import one_line
from workspace.progress import Progress
from workspace.storage.metrics import Metrics
from workspace.storage.run import Run

_IMPORTABLE_FROM = Path(__file__).resolve().parents[__name__.count(".")]
_LONGEST_REASON = 300

# MLflow itself would wait 120 s for each of 8 answers, and tell its makers what it is used for.
_MLFLOW_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def track(run: Run, config: WorkspaceConfig, progress: Progress) -> None:
    """Log an evaluated run to each place that is configured, once; a failure is one warning.

    Args:
        run: with its report.
        config: today's, for [tracking].
        progress: told what was logged, and warned of what was not.
    """
    settings, folder = config.tracking, run.folder
    places = {"mlflow": settings.mlflow, "tensorboard": str(folder.tensorboard) if settings.tensorboard else ""}
    if not any(places.values()):
        return
    experiment = settings.experiment or run.workspace.root.resolve().name
    inputs, logged = Metrics.read(folder.metrics_file).inputs, _logged(run)
    for kind, place in places.items():
        record = {"place": place, "experiment": experiment, "inputs": inputs}
        if not place or logged.get(kind) == record:
            continue
        failure = _send(run, kind, place, experiment, settings.timeout_s)
        if failure:
            progress.warn(
                f"the run was not logged to {kind} at {place}: {failure}. The run itself is whole; to log it: "
                f"{run.workspace.command('report')}"
            )
            continue
        logged[kind] = record
        write_json(folder.tracking_file, logged)
        progress.say(f"logged to {kind}: {place}")


def _logged(run: Run) -> dict[str, object]:
    """Read where this run was logged, and with which numbers; what cannot be read is logged again."""
    try:
        values = json.loads(run.folder.tracking_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _send(run: Run, kind: str, place: str, experiment: str, timeout_s: float) -> str:
    """Send it in a process of its own; returns why it failed, or nothing."""
    job = {
        "workspace": str(run.workspace.root.resolve()),
        "run_id": run.folder.run_id,
        "kind": kind,
        "place": place,
        "experiment": experiment,
    }
    environment = _MLFLOW_DEFAULTS | os.environ
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_IMPORTABLE_FROM), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "training.tracking.send"],
            input=json.dumps(job),
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout_s:g} s (tracking.timeout_s)"
    except OSError as error:
        return f"no process could be started: {error.strerror}"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    reason = one_line(lines[-1] if lines else f"exit code {done.returncode}")
    # A library's sentence begins with what it did and ends with why it could not.
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:100]} … {reason[100 - _LONGEST_REASON :]}"
