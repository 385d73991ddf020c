import csv
import functools
import io
import json
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from cli.predict_io import model_folder
from training.stats.calibration import Calibration
from training.stats.ood import OodLimits
from workspace.errors import ConfigError
from workspace.storage.champion import Decision, record_decision
from workspace.storage.paths import Workspace

SETTINGS = '[classes]\nape = "ape"\nbee = "bee"\n[network]\nallow_private_addresses = true\nper_host_pause_s = 0\n'


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, save_model: Callable[..., Path]) -> Workspace:
    """One run whose model finds every picture unlike those that it learnt from, and answers at 0.5."""
    workspace = Workspace(tmp_path_factory.mktemp("ws"))
    workspace.config_file.write_text(SETTINGS, encoding="utf-8")
    workspace.point_to("one")
    folder = save_model(workspace.run("one").model, resize_px=64, crop_px=64)
    reference = -np.ones((6, 1280), np.float16)
    Calibration(1.0, (OodLimits(0.95, 0.0, 0.01), OodLimits(0.5, 0.0, 2.0)), reference, 9).write(folder)
    return workspace


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}, ä.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    return folder


@pytest.fixture(scope="module")
def site(pictures: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=pictures)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _predict(workspace: Workspace, *words: str | Path, stdin: str | bytes = ""):
    return CliRunner().invoke(app, ["predict", "-w", str(workspace.root), *map(str, words)], input=stdin)


def test_lines_say_the_class_or_none_with_its_reason_and_a_broken_file_is_exit_code_1(workspace, pictures) -> None:
    result = _predict(workspace, pictures)
    lines = [line.split("\t") for line in result.output.splitlines()]
    assert result.exit_code == 1 and [line[3] for line in lines] == ["refused"] * 3 + ["error"]
    assert {line[1] for line in lines[:3]} == {"none"} and not any(line[2] for line in lines)
    assert lines[0][0].endswith("0, ä.png") and lines[0][4].startswith("unlike the training pictures")
    assert "best class: " in lines[0][4]
    answered = _predict(workspace, pictures / "1, ä.png", "--accept", "0.5")
    assert answered.exit_code == 0 and answered.output.split("\t")[1] in {"ape", "bee"}


def test_csv_and_json_read_back(workspace, pictures) -> None:
    rows = list(csv.DictReader(io.StringIO(_predict(workspace, pictures, "--format", "csv").output)))
    assert [row["label"] for row in rows] == ["none"] * 3 + [""] and rows[3]["error"]
    assert {row["best"] for row in rows[:3]} <= {"ape", "bee"}
    found = [json.loads(line) for line in _predict(workspace, pictures, "--format", "json").output.splitlines()]
    assert [answer["picture"] for answer in found] == [row["picture"] for row in rows]
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5) and found[0]["distance"] > 0.01
    assert set(found[3]) == {"picture", "answered", "error"}
    assert [row["answered"] for row in rows] == ["false"] * 4 and not any(answer["answered"] for answer in found)


def test_the_answer_none_and_errors_are_told_from_classes_of_these_names(workspace, pictures, tmp_path) -> None:
    model = tmp_path / "model"
    shutil.copytree(workspace.run("one").model, model)
    card = json.loads((model / "card.json").read_text())
    (model / "card.json").write_text(json.dumps(card | {"classes": ["none", "error"]}))  # as earlier versions allowed

    def ask(*words: str) -> str:
        return CliRunner().invoke(app, ["predict", "--model", str(model), str(pictures / "1, ä.png"), *words]).output

    sure = "--accept", "0.5"
    assert ask().split("\t")[3] == "refused" and ask(*sure).strip().split("\t")[3] == "answered"
    refused, given = (json.loads(ask("--format", "json", *words)) for words in ((), sure))
    assert (refused["answered"], refused["label"], given["answered"]) == (False, "none", True)
    for words, answered in (((), "false"), (sure, "true")):
        assert next(csv.DictReader(io.StringIO(ask("--format", "csv", *words))))["answered"] == answered


def test_addresses_lists_and_bytes_come_in_too(workspace, pictures, site) -> None:
    named = _predict(workspace, f"{site}/1,%20%C3%A4.png", f"{site}/gone.png", "--format", "json")
    first, second = (json.loads(line) for line in named.output.splitlines())
    local = json.loads(_predict(workspace, pictures / "1, ä.png", "--format", "json").output)
    assert first["probabilities"] == local["probabilities"] and "http_404" in second["error"]
    listed = _predict(workspace, stdin=f"{pictures / '1, ä.png'}\n\n{pictures / '2, ä.png'}\n")
    assert listed.exit_code == 0 and len(listed.output.splitlines()) == 2
    piped = _predict(workspace, "-", "--format", "json", stdin=(pictures / "1, ä.png").read_bytes())
    assert json.loads(piped.output)["probabilities"] == local["probabilities"]


def test_a_private_address_is_refused_unless_the_workspace_allows_it(workspace, site) -> None:
    result = CliRunner().invoke(app, ["predict", "--model", str(workspace.run("one").model), f"{site}/x.png"])
    assert result.exit_code == 1 and "private_address" in result.output


def test_the_live_model_is_asked_before_the_latest(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    workspace.point_to("latest")
    assert model_folder(tmp_path, None) == workspace.run("latest").model
    record_decision(workspace, Decision("live", "published", "live", "the first", "now"))
    workspace.point_to("latest")
    assert model_folder(tmp_path, None) == workspace.run("live").model
    with pytest.raises(ConfigError, match="no run 'gone'"):
        model_folder(tmp_path, None, "gone")
    with pytest.raises(ConfigError, match="name one model"):
        model_folder(None, None)


@pytest.mark.parametrize("separator", ["\n", "\0"])
@pytest.mark.parametrize("bad", ["x" * 300, "y" * 5000, "http://[", f"http://{'h' * 70}.test/", "gone.jpg"])
def test_a_name_that_no_file_can_have_loses_no_other_answer(workspace, pictures, separator, bad) -> None:
    names = [str(pictures / "0, ä.png"), bad, str(pictures / "1, ä.png")]
    result = _predict(workspace, stdin=separator.join(names))
    lines = [line.split("\t") for line in result.output.splitlines()]
    assert [line[0] for line in lines] == names
    assert [line[3] for line in lines] == ["refused", "error", "refused"]
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)


def test_a_nul_within_a_later_line_is_that_line_s_error(workspace, pictures, monkeypatch) -> None:
    good = str(pictures / "0, ä.png")
    monkeypatch.setattr("cli.names_on_stdin._AT_ONCE", len(good))
    lines = [line.split("\t") for line in _predict(workspace, stdin=f"{good}\na\0b\n{good}").output.splitlines()]
    assert [line[3] for line in lines] == ["refused", "error", "refused"]


@pytest.mark.parametrize("form", ["tab", "csv", "json"])
def test_a_folder_without_a_picture_says_so(workspace, tmp_path, form) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    result = _predict(workspace, tmp_path, "--format", form)
    assert result.exit_code == 1
    assert f"{tmp_path}" in result.output and "there is no picture in this folder" in result.output


def test_an_empty_list_says_so(workspace) -> None:
    result = _predict(workspace, stdin="\n")
    assert isinstance(result.exception, ConfigError) and "names no picture" in str(result.exception)


def test_a_file_larger_than_the_limit_of_memory_is_not_read(save_model, pictures, tmp_path) -> None:
    workspace = Workspace(tmp_path / "ws")
    workspace.root.mkdir()
    workspace.config_file.write_text(SETTINGS + "[clean]\ndecoder_memory_mb = 200\n", encoding="utf-8")
    model = save_model(workspace.run("one").model, resize_px=64, crop_px=64)
    workspace.point_to("one")
    (tmp_path / "large").mkdir()
    with (tmp_path / "large" / "endless.png").open("wb") as file:
        file.write((pictures / "1, ä.png").read_bytes())
        file.truncate(300_000_000)  # takes no room on the disk
    words = ["predict", "-w", str(workspace.root), str(tmp_path / "large"), str(pictures / "0, ä.png")]
    done = CliRunner().invoke(app, words)
    large, small = (line.split("\t") for line in done.stdout.splitlines())
    assert done.exit_code == 1 and small[3] == "answered" and model.is_dir()
    assert large[3:] == ["error", "decoder_memory: the file is larger than 200 MB (decoder_memory_mb)"]


def test_content_decides_in_a_folder_and_what_is_passed_over_is_named(workspace, pictures, tmp_path) -> None:
    picture = (pictures / "0, ä.png").read_bytes()
    for name in (b"a.aspx", b"b", b"ca\xf1on.jpg", b"._a.png", b".d.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(picture)
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "loop").symlink_to(tmp_path)
    for form in ("tab", "csv", "json"):
        result = CliRunner().invoke(app, ["predict", "-w", str(workspace.root), "--format", form, str(tmp_path)])
        assert result.exit_code == 0, result.output
        lines = [line for line in result.stdout.splitlines() if str(tmp_path) in line and "passed over" not in line]
        assert len(lines) == 3
        assert "ca\\udcf1on.jpg" in result.stdout
        assert "2 files passed over: loop (a link to ., which is listed), notes.txt (no picture, by" in result.stderr
    assert os.fsencode(json.loads(lines[2])["picture"]).endswith(b"ca\xf1on.jpg")
    odd = str(tmp_path / os.fsdecode(b"ca\xf1on.jpg"))
    assert CliRunner().invoke(app, ["predict", "-w", str(workspace.root), odd]).exit_code == 0


@pytest.mark.parametrize("named", ["on the command line", "on stdin"])
def test_a_pipe_is_not_waited_for(workspace, pictures, tmp_path, named) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    names = [str(tmp_path / "pipe.jpg"), str(pictures / "0, ä.png")]
    result = (
        _predict(workspace, *names) if named == "on the command line" else _predict(workspace, stdin="\n".join(names))
    )
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[3] for line in lines] == ["error", "refused"] and "a pipe or a device" in lines[0][4]


def test_a_name_with_a_line_break_or_an_escape_sequence_stays_on_one_line(workspace, pictures, tmp_path) -> None:
    (tmp_path / "a\nb\t\x1b[31m.png").write_bytes((pictures / "0, ä.png").read_bytes())
    (line,) = _predict(workspace, tmp_path).stdout.splitlines()
    assert line.split("\t")[0] == rf"{tmp_path}/a\nb\t\x1b[31m.png"


NO_PICTURES = {
    "a.jpg": (b"hi\n", "not_an_image: it begins with 'hi\\n'"),
    "b.jpg": (bytes(3000), "empty: 3,000 bytes, which begin with zeros or spaces alone"),
    "c.png": (b"", "empty: the file has 0 bytes"),
    "d.PNG": (b"<!DOCTYPE html><html>", "not_an_image: an HTML page"),
    "e.jp2": (b"\xff\x4f\xff\x51", "format_not_allowed: JPEG 2000; opened are"),
    "f.svg": (b"<svg>", "format_not_allowed: an SVG drawing"),
    "g.jpeg": (b"\xff\xd8\xff\xe0" + bytes(40), "truncated: a JPEG of 44 bytes, which ends too early"),
}


@pytest.mark.parametrize("how", ["in a folder", "by name"])
def test_what_is_named_as_a_picture_and_cannot_be_read_is_an_error_with_a_true_reason(
    workspace, pictures, tmp_path, how
) -> None:
    for name, (data, _) in NO_PICTURES.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "h.gif").symlink_to("nowhere.gif")
    os.mkfifo(tmp_path / "i.webp")
    (tmp_path / "list.csv").write_text("a,b")
    (tmp_path / "z.png").write_bytes((pictures / "0, ä.png").read_bytes())
    names = [*NO_PICTURES, "h.gif", "i.webp", "z.png"]
    result = _predict(workspace, *([tmp_path] if how == "in a folder" else [tmp_path / name for name in names]))
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert result.exit_code == 1 and [Path(line[0]).name for line in lines] == names
    assert [line[3] for line in lines] == ["error"] * 9 + ["refused"]
    reasons = [why for _, why in NO_PICTURES.values()]
    reasons += ["unreadable: No such file or directory", "unreadable: it is a pipe"]
    for line, why in zip(lines, reasons, strict=False):
        assert line[4].startswith(why), line
    assert "web page" not in result.output
    if how == "in a folder":
        assert "1 file passed over: list.csv (" in result.stderr


def test_a_picture_above_the_limit_is_refused_in_one_sentence_with_the_setting(workspace, tmp_path) -> None:
    for name, side in (("p54.png", 7400), ("p196.png", 14_000), ("p4000.png", 65_000)):
        header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT\x35\xaf\x06\x1e")
    lines = [line.split("\t") for line in _predict(workspace, tmp_path).stdout.splitlines()]
    assert [line[4] for line in lines] == [
        f"too_many_pixels: {side} x {side} px; the limit is 50 megapixels: raise clean.max_megapixels"
        for side in (14_000, 65_000, 7400)
    ]
