"""Prefect's own troubles are found before a flow starts, in one line; its temporary server ends with the run."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from flows.server.local import prepare_server
from workspace.errors import WorkspaceError

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def answering(request) -> Iterator[str]:
    """The address of a server that is not Prefect's, and answers everything with one status and type."""
    status, kind = request.param

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Retry-After", "3600")  # as a proxy's maintenance page has it
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
        server.shutdown()
        thread.join()


def settings_with(url: str):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    return temporary_settings({PREFECT_API_URL: url})


@pytest.mark.parametrize("answering", [(200, "text/html"), (404, "application/json")], indirect=True)
def test_another_server_is_not_prefect_s(answering, monkeypatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", answering)
    with settings_with(answering), pytest.raises(WorkspaceError, match="is not Prefect's API: HTTP .* ends in /api"):
        prepare_server()


@pytest.mark.parametrize("answering", [(401, "application/json")], indirect=True)
def test_a_server_with_a_password_names_the_setting(answering, monkeypatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", answering)
    with settings_with(answering), pytest.raises(WorkspaceError, match="refuses us: HTTP 401; set PREFECT_API_AUTH"):
        prepare_server()


@pytest.mark.parametrize("answering", [(503, "application/json")], indirect=True)
def test_a_server_that_stays_busy_is_not_called_another_program(answering, monkeypatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setenv("PREFECT_API_URL", answering)
    with settings_with(answering), pytest.raises(WorkspaceError, match="is too busy: HTTP 503; try again, or do wit"):
        prepare_server()
    assert waits and sum(waits) < 60


@pytest.mark.parametrize("answering", [(200, "application/json")], indirect=True)
def test_a_server_that_answers_is_used_whatever_the_home(answering, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setenv("PREFECT_API_URL", answering)
    with settings_with(answering):
        prepare_server()


@pytest.mark.parametrize("words", [["watch"], ["run"], ["retrain"]])
def test_a_server_that_is_down_is_one_line_with_the_remedy(command, tmp_path, words) -> None:
    (tmp_path / "workspace.toml").write_text('[classes]\na = "a"\nb = "b"\n')
    done = command("collect-and-train", *words, "-w", tmp_path, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Prefect's server at http://127.0.0.1:9/api (PREFECT_API_URL) does not answer")
    assert "prefect config unset PREFECT_API_URL" in done.stderr and done.stderr.count("\n") == 1


def test_a_home_that_cannot_be_written_is_one_line_with_the_remedy(command, tmp_path) -> None:
    (tmp_path / "workspace.toml").write_text('[classes]\na = "a"\nb = "b"\n')
    done = command("collect-and-train", "watch", "-w", tmp_path, PREFECT_HOME=str(tmp_path / "workspace.toml" / "home"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Prefect cannot keep its records in" in done.stderr and "PREFECT_HOME=/tmp/prefect" in done.stderr


def test_records_that_are_damaged_are_named(monkeypatch, tmp_path) -> None:
    (tmp_path / "prefect.db").write_bytes(b"no database" * 100)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(WorkspaceError, match=r"records in .*prefect.db cannot be used: file is not a database; move"):
        prepare_server()


def test_the_temporary_server_ends_with_the_process_that_started_it_however_that_ends(environment, tmp_path) -> None:
    script = (
        "import sys, time, pathlib\nfrom flows.server.local import start_server\n"
        "print(start_server(0, pathlib.Path(sys.argv[1])).pid, flush=True)\ntime.sleep(100)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "log"],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    server = psutil.Process(int(starter.stdout.readline()))
    time.sleep(0.3)
    assert server.is_running() and "flows.server.temporary" in server.cmdline()
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    psutil.wait_procs([server], timeout=30)
    assert not server.is_running()
    assert Path(tmp_path / "log").is_file()


@pytest.mark.parametrize("answering", [(200, "application/json")], indirect=True)
def test_the_traceback_of_an_unforeseen_failure_is_left_to_the_command_line(answering, monkeypatch, caplog) -> None:
    monkeypatch.setenv("PREFECT_API_URL", answering)
    logger = logging.getLogger("prefect.flow_runs")
    monkeypatch.setattr(logger, "filters", list(logger.filters))
    monkeypatch.setattr(logger, "handlers", [])  # Prefect's own, once another test has set it up, asks for a flow run
    monkeypatch.setattr(logger, "propagate", True)
    with settings_with(answering):
        prepare_server()
    try:
        raise OSError(28, "No space left on device")
    except OSError:
        logger.exception("Encountered exception")
    assert "Encountered exception" in caplog.text
    assert "Traceback" not in caplog.text


def test_prefect_still_starts_its_server_where_we_replace_the_command() -> None:
    from prefect.server.api.server import SubprocessASGIServer

    assert callable(SubprocessASGIServer._run_uvicorn_command)
