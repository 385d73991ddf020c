"""Places that cannot be used: one sentence with the remedy, before work begins, and nothing is written or lost."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from workspace.resolve import open_workspace
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

pytestmark = pytest.mark.cluster

SECRET = "a-secret-of-the-tests"
SHA = "ab" * 32
_ANSWERS = {  # what S3 says, by bucket
    "not-ours": (403, "AccessDenied", "Access Denied"),
    "wrong-key": (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    "wrong-secret": (403, "SignatureDoesNotMatch", "The request signature we calculated does not match."),
    "no-such-bucket": (404, "NoSuchBucket", "The specified bucket does not exist"),
    "far-away": (301, "PermanentRedirect", "The bucket must be addressed using the specified endpoint."),
    "broken": (500, "InternalError", "We encountered an internal error."),
}
WORDS = {
    "not-ours": "may not be used with these keys",
    "wrong-key": "AWS_ACCESS_KEY_ID",
    "wrong-secret": "AWS_SECRET_ACCESS_KEY",
    "no-such-bucket": "there is no bucket of that name; make it",
    "far-away": "AWS_REGION",
    "broken": "does not answer as it should",
}


class _Refusing(BaseHTTPRequestHandler):
    """Answers as S3 does when it refuses; the bucket says how."""

    def _answer(self) -> None:
        status, code, message = _ANSWERS[self.path.split("?")[0].split("/")[1]]
        key = "<AWSAccessKeyId>testing</AWSAccessKeyId>" if "Key" in code else ""
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{key}</Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def refusing(keys: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def local(tmp_path: Path) -> Workspace:
    """A workspace in its folder, with a picture."""
    workspace, _ = open_workspace(tmp_path / "cats", ["cat", "dog"])
    ImageStore(workspace).put(SHA, ".jpg", b"bytes")
    return workspace


def elsewhere(folder: Path, address: str) -> Path:
    """A workspace.toml that names a place elsewhere."""
    folder.mkdir()
    text = f'[classes]\ncat = ["cat"]\ndog = ["dog"]\n[storage]\nfiles = "{address}"\n'
    (folder / "workspace.toml").write_text(text)
    return folder


def failed(*words: str | Path) -> str:
    done: Result = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1, done.output
    text = str(done.exception)
    assert type(done.exception).__name__ in ("WorkspaceError", "ConfigError"), repr(done.exception)
    assert "\n" not in text and SECRET not in text, text
    return text


@pytest.mark.parametrize("bucket", _ANSWERS)
def test_a_refusal_has_its_remedy_and_a_move_to_it_leaves_all_as_it_was(refusing, local, bucket) -> None:
    before = contents(local.root)
    text = failed("move", "-w", local.root, "--to", f"s3://{bucket}/cats")
    assert WORDS[bucket] in text
    assert {path: data for path, data in contents(local.root).items() if path != "lock.json"} == before


@pytest.mark.parametrize("command", ["status", "search", "train", "models", "predict", "export", "review", "retrain"])
def test_every_command_says_so_at_its_start(refusing, tmp_path, command) -> None:
    folder = elsewhere(tmp_path / "cats", "s3://not-ours/cats")
    more = {"predict": ["picture.jpg"], "export": ["--to", "onnx"]}.get(command, [])
    assert WORDS["not-ours"] in failed(command, "-w", folder, *more)
    assert sorted(path.name for path in folder.iterdir()) == ["workspace.toml"]


def test_an_endpoint_that_nobody_listens_at_is_told_within_seconds(keys, monkeypatch, local) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    began = time.monotonic()
    assert "cannot be reached" in failed("move", "-w", local.root, "--to", "s3://pictures/cats")
    assert time.monotonic() - began < 20


def test_an_endpoint_that_takes_and_never_answers_is_told_within_half_a_minute(keys, monkeypatch, local) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert "cannot be reached" in failed("move", "-w", local.root, "--to", "s3://pictures/cats")
        assert time.monotonic() - began < 60  # two tries of 10 s


def test_an_environment_without_keys_is_told_at_once(keys, monkeypatch, local) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    text = failed("move", "-w", local.root, "--to", "s3://pictures/cats")
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in text  # who asks has other words


def test_obstore_that_is_not_installed_is_named_with_its_extra(monkeypatch, local) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    text = failed("move", "-w", local.root, "--to", "s3://pictures/cats")
    assert "needs obstore, which the extra `storage` brings" in text and "[storage]" in text


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
