"""Record, then replay without a network: the same catalogue, the same files, and no key in the folder."""

import json
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from collectors import download, search
from collectors.http.recording_files import read_responses
from workspace.catalog.catalog import KEYS
from workspace.catalog.records import Download, Search
from workspace.config.model import WorkspaceConfig, parse_config
from workspace.config.template import render_config
from workspace.errors import CollectError, ConfigError, WorkspaceError
from workspace.storage.paths import Workspace

ID, SECRET, TOKEN, FLICKR = "cl1ent-id-/+=", "cl1ent-s3cret", "t0ken-of-theirs", "fl1ckr-k3y/+="


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any socket and any look-up of a name is an error."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a replay must not touch the network")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a minute later, so that a wrong time shows."""
    ticks = iter(range(10_000))
    monkeypatch.setattr("collectors.http.recording.utc_now", lambda: f"2026-01-01T00:{next(ticks):04}")


def tables(workspace: Workspace) -> dict[str, list[object]]:
    with workspace.open_catalog() as catalog:
        return {name: catalog.all(kind) for kind, (name, _) in KEYS.items()}


def files(workspace: Workspace) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in workspace.images.rglob("*") if file.is_file()}


def with_cassette(config: WorkspaceConfig, **cassette: str) -> WorkspaceConfig:
    return config.model_copy(update={"network": config.network.model_copy(update=cassette)})


def collect(workspace: Workspace, config: WorkspaceConfig) -> None:
    search.run(workspace, config)
    download.run(workspace, config)


def test_a_replay_gives_identical_tables_and_files_without_a_network(
    site, workspace, configure, tmp_path, slow_clock, request
) -> None:
    sources = ["openverse", "results_page", "folder"]
    config = configure(
        site,
        search={
            "sources": sources,
            "results_page": {"url": site.results_url},
            "folder": {"path": str(tmp_path / "photos")},
        },
        network={"attempts": 2},
        download={"max_mb": 1},  # what the endless one must reach
    )
    site.misbehave("/search", "403", times=1)
    record = with_cassette(config, record=str(tmp_path / "cassette"))
    search.run(workspace, record)
    urls = [hit.image_url for hit in tables(workspace)["hits"] if hit.source == "openverse" and hit.label == "cat"]
    for url, fault in zip(urls, ("403", "reset", "svg", "endless"), strict=False):
        site.misbehave(url.removeprefix(site.base_url), fault, times=9)
    download.run(workspace, record)
    recorded = tables(workspace)
    assert {row.reason for row in recorded["downloads"]} >= {"http_403", "connection", "svg", "too_large", ""}
    assert [row.reason for row in recorded["searches"] if row.status == "failed"] == ["blocked"]
    site.__exit__(None, None, None)
    request.getfixturevalue("no_network")
    again = Workspace(tmp_path / "again")
    collect(again, with_cassette(config, replay=str(tmp_path / "cassette")))
    assert tables(again) == recorded
    assert files(again) == files(workspace)
    assert len(files(again)) == 12


def test_what_was_not_recorded_is_a_row_and_a_failed_search_with_that_reason(
    site, workspace, configure, tmp_path, request
) -> None:
    config = configure(site)
    search.run(workspace, with_cassette(config, record=str(tmp_path / "cassette")))
    request.getfixturevalue("no_network")
    replay = with_cassette(config, replay=str(tmp_path / "cassette"))
    assert dict(download.run(workspace, replay).by_reason) == {"ok": 0, "failed: not_recorded": 12}
    assert all("is not in the recording cassette" in row.detail for row in tables(workspace)["downloads"])
    other = replay.model_copy(update={"classes": {"dog": ("dog",), "cow": ("cow",)}})
    with pytest.raises(CollectError, match="not_recorded"):
        search.run(Workspace(tmp_path / "other"), other)


class _Keyed(BaseHTTPRequestHandler):
    """Openverse with client credentials and Flickr, which want keys, and say them back as careless services do."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"access_token": TOKEN, "expires_in": 36000, "token_type": "Bearer"})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path.startswith("/openverse"):
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            self._answer({"results": [{"url": f"http://127.0.0.1/{n}.jpg"} for n in range(2)], "page_count": 1})
        elif asked["method"].endswith("getInfo"):
            self._answer({"stat": "ok", "licenses": {"license": []}})
        else:
            photo = {"url_m": "http://127.0.0.1/f.jpg", "owner": "o", "id": "1", "title": asked["api_key"]}
            self._answer({"stat": "ok", "photos": {"pages": 1, "photo": [photo]}})

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def keyed(serve) -> str:
    return f"http://127.0.0.1:{serve(ThreadingHTTPServer(('127.0.0.1', 0), _Keyed)).server_port}"


def test_no_key_is_kept_and_a_replay_needs_none(keyed, workspace, tmp_path, monkeypatch) -> None:
    config = WorkspaceConfig.model_validate(
        {
            "classes": {"a": "a", "b": "b"},
            "search": {
                "sources": ["openverse", "flickr"],
                "openverse": {"url": f"{keyed}/openverse"},
                "flickr": {"url": f"{keyed}/flickr"},
                "credentials": {"OPENVERSE_CLIENT_SECRET": SECRET},
            },
            "network": {"allow_private_addresses": True, "per_host_pause_s": 0},
        }
    )
    monkeypatch.setenv("OPENVERSE_CLIENT_ID", ID)
    monkeypatch.setenv("FLICKR_API_KEY", FLICKR)
    cassette = tmp_path / "cassette"
    search.run(workspace, with_cassette(config, record=str(cassette)))
    kept = b"\n".join(file.read_bytes() for file in sorted(cassette.rglob("*")) if file.is_file())
    assert b"FLICKR_API_KEY" in kept and b"***" in kept
    for secret in (ID, SECRET, TOKEN, FLICKR, "fl1ckr-k3y%2F%2B%3D", "cl1ent-id-%2F"):
        assert secret.encode() not in kept
    for name in ("OPENVERSE_CLIENT_ID", "FLICKR_API_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("NAVER_CLIENT_ID", "not of the recording")
    again = Workspace(tmp_path / "again")
    counts = search.run(again, with_cassette(config, replay=str(cassette)))
    assert counts.by_reason["found"] == 6
    assert tables(again)["searches"] == tables(workspace)["searches"]
    with again.open_catalog() as catalog:
        assert {row.status for row in catalog.all(Search)} == {"exhausted"}


def test_a_recording_goes_on_where_it_was_killed_and_a_body_wins_over_a_failure(
    site, workspace, configure, tmp_path, request
) -> None:
    config = configure(site)
    cassette = tmp_path / "cassette"
    record = with_cassette(config, record=str(cassette))
    site.misbehave("/v1/images/?", "403", times=2)
    with pytest.raises(CollectError):
        search.run(workspace, record)
    with (cassette / "answers.jsonl").open("ab") as answers:
        answers.write(b'{"asked": "GET http://half')
    collect(workspace, record)
    request.getfixturevalue("no_network")
    again = Workspace(tmp_path / "again")
    collect(again, with_cassette(config, replay=str(cassette)))
    assert tables(again) == tables(workspace)


def test_folders_that_are_no_recording_are_refused_by_name(site, workspace, configure, tmp_path) -> None:
    config = configure(site)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("dear")
    with pytest.raises(WorkspaceError, match="full holds files that are not a recording"):
        search.run(workspace, with_cassette(config, record=str(full)))
    with pytest.raises(WorkspaceError, match="nowhere is no recording"):
        search.run(workspace, with_cassette(config, replay=str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="exclude each other"):
        parse_config('[classes]\na = "a"\nb = "b"\n[network]\nrecord = "x"\nreplay = "y"\n', "text")


def test_a_damaged_body_is_no_picture(site, workspace, configure, tmp_path) -> None:
    config = configure(site)
    cassette = tmp_path / "cassette"
    collect(workspace, with_cassette(config, record=str(cassette)))
    with workspace.open_catalog() as catalog:
        sha = catalog.all(Download)[0].sha256
    (cassette / "bodies" / sha[:2] / sha).write_bytes(b"other")
    with pytest.raises(WorkspaceError, match="is damaged"):
        collect(Workspace(tmp_path / "again"), with_cassette(config, replay=str(cassette)))


def test_the_tape_belongs_to_one_run_and_is_written_into_no_file(site, configure, tmp_path: Path) -> None:
    config = configure(site, network={"record": str(tmp_path / "cassette")})
    assert str(tmp_path) not in render_config(config)


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\n", b"[]\n7\n", b'{"no": "question"}\n', b"\0" * 40 + b"\n", b'{"asked": "GET']
)
def test_a_damaged_line_of_a_recording_costs_its_own_answer_alone(tmp_path, damage) -> None:
    file = tmp_path / "answers.jsonl"
    row = {"asked": "GET http://a/", "failed": {}}
    file.write_bytes(json.dumps(row).encode() + b"\n" + damage)
    assert read_responses(file) == {"GET http://a/": row}
