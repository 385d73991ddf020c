"""Register the work pool and the deployments of prefect.yaml with a Prefect server, from a checkout or without one."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from workspace.errors import WorkspaceError

POOL = "collect-and-train"
PREFECT = (sys.executable, "-P", "-m", "prefect")  # -P: nothing is imported from the present folder
_WORKING_FOLDER_STEP = "prefect.deployments.steps.set_working_directory"
_ROOT = Path(__file__).resolve().parents[2]
IN_CHECKOUT = (_ROOT / "pyproject.toml").is_file()
_PARENT = "".join(f"{part}." for part in __name__.split(".")[:-3])  # of the package flows; empty in a checkout


@dataclass(frozen=True)
class Defaults:
    """What the deployments are given.

    `workspace` is absolute or relative to `working_folder`, "" leaves the choice to each flow; `watch_s` is in seconds.
    """

    workspace: str = ""
    watch_s: float = 900.0


def working_folder() -> Path:
    """Return where flows run and look for relative workspaces: the checkout, or without one the present folder."""
    return _ROOT if IN_CHECKOUT else Path.cwd()


def prefect_command() -> str:
    """Write Prefect's command for people: pipx, for one, puts only our own command on the PATH."""
    return "prefect" if shutil.which("prefect") else shlex.join(PREFECT)


def workspace_of_flows(folder: Path | None) -> str:
    """Write a workspace as the flows find it, wherever a command was called: relative to `working_folder` if inside."""
    if folder is None:
        return ""
    absolute, root = folder.resolve(), working_folder()
    return str(absolute.relative_to(root) if absolute.is_relative_to(root) else absolute)


def register(environment: Mapping[str, str], defaults: Defaults) -> None:
    """Make the pool and the deployments, or bring them up to date.

    Args:
        environment: variables of the process; PREFECT_API_URL names the server.
        defaults: what the deployments are given.

    Raises:
        WorkspaceError: Prefect refuses; its messages are in the text.
    """
    _prefect(environment, "work-pool", "create", POOL, "--type", "process", "--overwrite")
    with deployments_file(defaults) as file:
        _prefect(environment, "--no-prompt", "deploy", "--all", "--prefect-file", str(file))


@contextlib.contextmanager
def deployments_file(defaults: Defaults) -> Iterator[Path]:
    """Write prefect.yaml with the requested workspace and interval to a temporary file.

    Without a checkout the flows are named by module, which a worker imports, and run in `working_folder`.
    """
    document: dict[str, Any] = yaml.safe_load((_ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    for deployment in document["deployments"]:
        if defaults.workspace:
            deployment["parameters"]["workspace"] = defaults.workspace
        for schedule in deployment.get("schedules", []):
            if "interval" in schedule:
                schedule["interval"] = defaults.watch_s
        for step in deployment.get("pull") or []:
            if _WORKING_FOLDER_STEP in step:
                step[_WORKING_FOLDER_STEP]["directory"] = str(working_folder())
        if not IN_CHECKOUT:
            file, flow = deployment["entrypoint"].split(".py:")
            deployment["entrypoint"] = f"{_PARENT}{file.replace('/', '.')}.{flow}"
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "prefect.yaml"
        written.write_text(yaml.safe_dump(document), encoding="utf-8")
        yield written


def _prefect(environment: Mapping[str, str], *words: str) -> None:
    done = subprocess.run(
        [*PREFECT, *words], cwd=working_folder(), env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise WorkspaceError(f"`{' '.join(['prefect', *words])}` failed:\n{done.stdout}{done.stderr}")
