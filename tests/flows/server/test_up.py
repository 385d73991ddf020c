"""What `up` refuses, and how it starts, restarts and stops its processes; the whole of it is in test_operate.py."""

import base64
import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from flows.server import supervisor, up
from flows.server.deployments import Defaults, deployments_file
from workspace.errors import ConfigError, WorkspaceError

CHECKOUT = Path(__file__).resolve().parents[3]


def test_only_loopback_is_served_without_a_password(monkeypatch) -> None:
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    for host in ("127.0.0.1", "localhost"):
        up.check_address(host)
    with pytest.raises(ConfigError, match=r"can run code here\. Use 127\.0\.0\.1 .*PREFECT_SERVER_API_AUTH_STRING"):
        up.check_address("0.0.0.0")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "me:secret")
    up.check_address("0.0.0.0")


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is taken.*--port 0"):
            up.free_port("127.0.0.1", port)
    assert up.free_port("127.0.0.1", 0) > 0


# As `prefect server start --host HOST --port PORT`: it ends where the port is taken.
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer((sys.argv[4], int(sys.argv[6])), Healthy).serve_forever()
"""


@pytest.mark.parametrize(
    ("asked", "taken", "starts"), [(0, 1, 2), (0, 9, 3), (4200, 9, 1)], ids=["once", "always", "with --port"]
)
def test_a_port_that_another_program_takes_meanwhile_is_replaced_by_another_one_with_port_0(
    tmp_path, monkeypatch, asked, taken, starts
) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    monkeypatch.setattr(up, "PREFECT", (sys.executable, str(tmp_path / "server.py")))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    chosen, registered = [], []

    def register(environment: dict[str, str], _defaults: Defaults) -> None:
        registered.append(environment["PREFECT_API_URL"])
        raise KeyboardInterrupt

    monkeypatch.setattr(up, "register", register)
    original = up.free_port
    with ExitStack() as programs:

        def free_then_taken(host: str, port: int) -> int:
            if port and port != asked:
                return original(host, port)
            chosen.append(original(host, 0))
            if len(chosen) <= taken:
                programs.enter_context(socket.socket()).bind((host, chosen[-1]))
            return chosen[-1]

        monkeypatch.setattr(up, "free_port", free_then_taken)
        with nullcontext() if taken < starts else pytest.raises(WorkspaceError, match="server did not start; its log"):
            up.serve(up.UpSettings(port=asked))
    assert len(set(chosen)) == starts
    assert registered == [f"http://127.0.0.1:{port}/api" for port in chosen[taken:]]


def test_a_server_that_ends_by_itself_is_not_started_on_another_port(tmp_path, monkeypatch) -> None:
    (tmp_path / "server.py").write_text("raise SystemExit(1)")
    monkeypatch.setattr(up, "PREFECT", (sys.executable, str(tmp_path / "server.py")))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    chosen, original = [], up.free_port
    monkeypatch.setattr(up, "free_port", lambda host, port: chosen.append(port) or original(host, port))
    with pytest.raises(WorkspaceError, match="server did not start; its log"):
        up.serve(up.UpSettings(port=0))
    assert chosen.count(0) == 1


def supervised(tmp_path: Path, code: str) -> supervisor.ChildProcess:
    return supervisor.ChildProcess("worker", [sys.executable, "-c", code], {"PATH": ""}, tmp_path / "log")


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_child_that_dies_is_started_again_but_not_for_ever(tmp_path) -> None:
    dying = supervised(tmp_path, "raise SystemExit(3)")
    dying.start()
    with pytest.raises(
        WorkspaceError, match=rf"the worker ended 3 times in a row \(exit code 3\); its log is {tmp_path}"
    ):
        for _ in range(3):
            wait_until(lambda: dying.died)
            dying.start_again()


@pytest.mark.parametrize("own_session", [False, True])
def test_a_child_that_will_not_listen_is_killed_with_its_children(tmp_path, monkeypatch, own_session) -> None:
    """A worker of Prefect gives each run a session of its own."""
    monkeypatch.setattr(supervisor, "_STOP_S", 0.3)
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    code = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", {child!r}], start_new_session={own_session})
print(child.pid, flush=True)
time.sleep(60)
"""
    stubborn = supervised(tmp_path, code)
    stubborn.start()
    wait_until(lambda: (tmp_path / "log").read_text().endswith("\n"))
    pid = int((tmp_path / "log").read_text())
    stubborn.stop()
    assert stubborn.died
    status = Path(f"/proc/{pid}/stat")
    wait_until(lambda: not status.exists() or status.read_text().split(")")[1].split()[0] == "Z")


def deployments(file: Path) -> dict[str, dict]:
    return {deployment["name"]: deployment for deployment in yaml.safe_load(file.read_text())["deployments"]}


def test_the_deployments_take_the_workspace_and_the_interval_that_were_asked_for() -> None:
    with deployments_file(Defaults("data/x", watch_s=5)) as file:
        asked = deployments(file)
    (pull,) = asked["local"]["pull"]
    assert pull["prefect.deployments.steps.set_working_directory"]["directory"] == str(CHECKOUT)
    shipped = deployments(CHECKOUT / "prefect.yaml")
    assert asked.keys() == shipped.keys() == {"local", "collect", "retrain", "watch", "drift"}
    assert {deployment["parameters"]["workspace"] for deployment in asked.values()} == {"data/x"}
    assert asked["watch"]["schedules"][0]["interval"] == 5
    assert asked["retrain"]["schedules"][0] == shipped["retrain"]["schedules"][0]
    assert asked["retrain"]["triggers"] == shipped["retrain"]["triggers"]


def test_what_is_deployed_exists_takes_its_parameters_and_describes_each() -> None:
    import importlib

    for deployment in deployments(CHECKOUT / "prefect.yaml").values():
        file, name = deployment["entrypoint"].split(":")
        flow = getattr(importlib.import_module(file.removesuffix(".py").replace("/", ".")), name)
        properties = flow.parameters.properties
        starts = [*deployment.get("schedules", []), *deployment.get("triggers", [])]
        parameters = [deployment["parameters"], *(start.get("parameters", {}) for start in starts)]
        assert all(names.keys() <= properties.keys() for names in parameters), deployment["name"]
        assert all(field.get("description") for field in properties.values()), deployment["name"]
        assert not any("secret" in field or field == "key" for field in properties)


@pytest.fixture
def hang_up():
    """SIGHUP as it is in a terminal, whatever this process was started from."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_or_a_closed_terminal_ends_it_as_ctrl_c_does(hang_up, number) -> None:
    with pytest.raises(KeyboardInterrupt), up._stopped_by_signals():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert signal.getsignal(number) == signal.SIG_DFL


def test_under_nohup_a_closed_terminal_changes_nothing(hang_up) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with up._stopped_by_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_server_whose_database_is_busy_is_asked_again_for_the_automation(monkeypatch) -> None:
    """Prefect's server answers 503 while another request holds its SQLite database: no reason to end `up`."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    statuses, made = iter([503, 200, 503, 201]), []

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)  # no CSRF tokens, as Prefect's server by default

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = next(statuses)
            if status == 201:
                made.append((self.path, asked["name"], self.headers["Authorization"]))
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        environment = {"PREFECT_API_URL": f"http://127.0.0.1:{server.server_address[1]}/api"}
        up._show_killed_runs_as_crashed(environment | {"PREFECT_API_AUTH_STRING": "me:secret"})
        statuses = itertools.repeat(500)
        with pytest.raises(WorkspaceError, match="does not take the automation that shows killed runs: Server error"):
            up._show_killed_runs_as_crashed(environment)
        server.shutdown()
        thread.join()
    ((path, name, password),) = made
    assert (path, name) == ("/api/automations/", "collect-and-train: killed runs are shown as crashed")
    assert password == "Basic " + base64.b64encode(b"me:secret").decode()
