"""The whole life of a classifier on one real server and worker, started by `up`, on free ports of loopback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import psutil
import pytest

from flows.server.client import connected
from gallery.drawing.render import Spec, body_of
from workspace.resolve import open_workspace
from workspace.storage.champion import CHAMPION, read_decisions
from workspace.storage.lock import hold, lock_owner
from workspace.storage.paths import Workspace

# A minute each on 2 idle cores; the limit is for busy ones.
pytestmark = pytest.mark.timeout(600)

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
WATCH_EVERY_S = 25


@dataclass
class Operating:
    """A running `collect-and-train up`."""

    api: str
    process: subprocess.Popen[bytes]
    log: Path
    folder: Path

    def request(self, method: Literal["PATCH", "POST"], route: str, body: object) -> httpx.Response:
        with connected(self.api, timeout_s=30, retries=5) as client:
            return client.request(method, route, json=body)  # type: ignore[arg-type]  # a route with an id in it

    def ask(self, what: str, **question: object) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = self.request("POST", f"/{what}/filter", {"limit": 200} | question).json()
        return rows

    def wait(self, what: str, until: Callable[[], bool], seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"{what} did not come:\n{self.log.read_text()}"
            time.sleep(0.3)


@pytest.fixture(scope="module")
def operating(site, quick, environment, tmp_path_factory) -> Iterator[Operating]:
    base = tmp_path_factory.mktemp("operating")
    folder, log = base / "drawn", base / "log"
    settings = {"search.per_class": 40, "retrain.min_new_images": 20, "retrain.settle_s": 0.5}
    open_workspace(folder, site.keywords, quick | settings)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [BIN / "collect-and-train", "up", "--port", "0", "-w", folder, "--watch-every", str(WATCH_EVERY_S)],
            env=environment,
            cwd=CHECKOUT,
            stderr=out,
        )
    up = Operating("", process, log, folder)
    try:
        up.wait("the page's address", lambda: "Prefect's page: " in log.read_text())
        page = re.search(r"Prefect's page: (\S+)", log.read_text())
        assert page is not None
        up.api = f"{page[1]}/api"
        yield up
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)  # four times ten seconds until it kills its parts
        finally:
            process.kill()


def artifacts(up: Operating) -> dict[str, str]:
    return {str(artifact["key"]): str(artifact["data"]) for artifact in up.ask("artifacts/latest")}


def test_from_the_literal_command_to_a_champion_and_from_new_pictures_to_a_decision(operating, command, site) -> None:
    workspace = Workspace(operating.folder)
    done = command("prefect", "deployment", "run", "collect-and-train", "--watch", timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [decision.why for decision in read_decisions(workspace)] == ["the first model"]
    first = workspace.latest_run()
    shown = artifacts(operating)
    assert {"search-counts", "clean-counts", "train-counts", "publish-counts", "report", "models"} <= set(shown)
    assert "accuracy on 7 test pictures" in shown["report"]
    assert "the first model" in shown["models"]

    drawn = operating.folder.parent / "new"
    for keyword in site.keywords:
        for number in range(6):
            file = drawn / keyword / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body_of(Spec(99, keyword, number, "honest", "jpeg", (320, 240))) or b"")
            os.utime(file, (time.time() - 60,) * 2)
    drawn.rename(workspace.inbox)  # all at once, as `watch` may look at any moment
    operating.wait("a second decision", lambda: len(read_decisions(workspace)) > 1)
    second = read_decisions(workspace)[-1]
    assert second.numbers["against"] == first.run_id
    assert second.numbers["pictures"] > 0
    names = [str(run["name"]) for run in operating.ask("flow_runs")]
    assert f"{workspace.root.name}: retrain, 30 new pictures" in names
    assert sum("retrain" in name for name in names) == 1
    arrived = {"filter": {"event": {"name": ["images.arrived"]}}}
    events = operating.request("POST", "/events/filter", arrived).json()["events"]
    assert [event["payload"]["new"] for event in events] == [30]
    watching = next(deployment for deployment in operating.ask("deployments") if deployment["name"] == "watch")
    # It has been seen; from here on it would only cost time.
    operating.request("PATCH", f"/deployments/{watching['id']}", {"paused": True})


def test_by_hand_the_same_command_has_nothing_left_to_do_and_says_what_there_is(operating, command, site) -> None:
    workspace = Workspace(operating.folder)
    asked = dict(site.requests)
    files = {
        file: file.stat().st_mtime_ns
        for file in workspace.root.rglob("*")
        if file.is_file() and "sqlite" not in file.name and file != workspace.lock_file
    }
    again = command(
        "collect-and-train", "run", "--workspace", workspace.root, timeout=400, PREFECT_API_URL=operating.api
    )
    assert again.returncode == 0, again.stderr
    run = workspace.latest_run()
    for part in (
        "found",
        "kept",
        "test pictures",
        "95 % interval",
        str(run.report_file),
    ):
        assert part in again.stdout, part
    assert f"predict -w {workspace.root}" in again.stderr
    assert again.stdout.count("0 done now") == 11  # ten steps and the inbox
    assert dict(site.requests) == asked
    changed = [file for file, stamp in files.items() if file.stat().st_mtime_ns != stamp]
    assert set(changed) <= {workspace.runs / "latest"}
    shown = command("collect-and-train", "status", "-w", workspace.root)
    assert shown.returncode == 0, shown.stderr
    assert "nothing has changed" in shown.stdout


def test_a_wrong_workspace_fails_with_the_remedy_and_no_retry(operating, command, tmp_path) -> None:
    done = command(
        "collect-and-train", "run", "--workspace", tmp_path / "none", PREFECT_API_URL=operating.api, timeout=400
    )
    assert done.returncode == 1
    assert "collect-and-train init" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bare_name_that_no_deployment_has_is_left_to_prefect(operating, command) -> None:
    done = command("prefect", "deployment", "run", "no-such-flow")
    assert done.returncode != 0
    assert "no-such-flow/" not in done.stdout + done.stderr


def test_ctrl_c_ends_a_run_with_its_own_server_and_says_that_it_goes_on(operating, environment) -> None:
    folder = operating.folder.parent / "stopped"
    workspace, _ = open_workspace(folder, ["cat", "dog"])
    with hold(workspace, "a test"):
        run = subprocess.Popen(
            [BIN / "collect-and-train", "run", "-w", folder],
            env=environment,  # which names no server: a temporary one, with the records of this one
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert run.stderr is not None
        while "waiting for `a test`" not in (line := run.stderr.readline()):
            assert line, "it ended before it waited"
        family = psutil.Process(run.pid).children(recursive=True)
        began = time.monotonic()
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        said = run.communicate(timeout=60)[1]
        seconds = time.monotonic() - began
    assert run.returncode == 130, said
    assert said.endswith("Stopped by Ctrl-C; the same command goes on where this one stopped.\n")
    assert "fault of this program" not in said
    assert seconds < 30  # one, on a machine that does nothing else; a client of Prefect would ask for minutes
    assert family and psutil.wait_procs(family, timeout=30)[1] == []
    assert lock_owner(workspace) is None


def kill_part(operating: Operating, words: str) -> None:
    """kill -9 a part of `up` with everything that it started, and wait until `up` has noticed."""
    found = subprocess.run(["pgrep", "-P", str(operating.process.pid), "-f", words], capture_output=True, text=True)
    os.killpg(int(found.stdout.split()[0]), signal.SIGKILL)
    name = words.split()[0]
    operating.wait(f"a new {name}", lambda: f"The {name} ended (exit code -9)" in operating.log.read_text())


def test_a_run_outlives_its_server_and_the_next_run_finishes_what_was_killed_with_its_worker(
    operating, command, quick, site
) -> None:
    workspace = Workspace(operating.folder.parent / "killed")
    open_workspace(workspace.root, site.keywords, quick | {"search.per_class": 40})
    words = (
        "prefect",
        "deployment",
        "run",
        "collect-and-train",
        "--param",
        f"workspace={json.dumps(str(workspace.root))}",
    )
    assert command(*words).returncode == 0
    operating.wait("the features", lambda: any(workspace.cache.glob("features-*/*.json")))
    kill_part(operating, "worker start")
    assert not (workspace.root / CHAMPION).exists()

    assert command(*words).returncode == 0
    operating.wait("the split", lambda: (workspace.runs / "latest").exists())
    kill_part(operating, "server start")
    operating.wait("a decision", (workspace.root / CHAMPION).exists)

    def finished() -> bool:
        try:
            runs = operating.ask("flow_runs", sort="START_TIME_DESC")
        except httpx.HTTPError:
            return False  # the server is on its way
        return any(run["state_type"] == "COMPLETED" and str(run["name"]).startswith("killed: ") for run in runs)

    operating.wait("the run's end in Prefect's page", finished)


def test_stopping_leaves_nothing_behind(operating) -> None:
    children = subprocess.run(
        ["pgrep", "-P", str(operating.process.pid)], capture_output=True, text=True
    ).stdout.split()
    assert len(children) == 2
    operating.process.send_signal(signal.SIGINT)
    assert operating.process.wait(120) == 0
    deadline = time.monotonic() + 30
    for child in map(int, children):
        with pytest.raises(ProcessLookupError):
            while time.monotonic() < deadline:  # what was killed is there until somebody has reaped it
                os.killpg(child, 0)
                time.sleep(0.05)
