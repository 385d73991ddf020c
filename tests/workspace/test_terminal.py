from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from workspace.terminal import BarProgress, LogProgress

REMEDY = "set weights_file under [train] in workspace.toml [Errno -2]"


def test_a_terminal_shows_what_is_said_and_warned_of_whole() -> None:
    """Square brackets are not markup there."""
    screen = io.StringIO()
    with Bars(console=Console(file=screen, force_terminal=True, width=200, color_system=None)) as bars:
        progress = BarProgress(bars)
        progress.begin("Fine-tuning", 2)
        progress.say(f"said: {REMEDY}")
        progress.warn(f"warned: {REMEDY}")
        progress.advance()
    assert f"said: {REMEDY}" in screen.getvalue()
    assert f"! warned: {REMEDY}" in screen.getvalue()


def test_a_log_tells_decisions_from_warnings(caplog) -> None:
    caplog.set_level(logging.INFO)
    progress = LogProgress(logging.getLogger("a step"))
    progress.begin("Fine-tuning", 2)
    progress.say("regime frozen")
    progress.warn("another network was used")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "regime frozen"),
        ("WARNING", "another network was used"),
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_no_name_fails_to_print_and_json_reads_what_is_printed(encoding: str) -> None:
    code = (
        "import json, sys; from workspace.terminal import never_fail_to_print, say; never_fail_to_print()\n"
        "name = 'ca\\udcf1on \\u732b \\U0001f408'\n"
        "say(name); print(json.dumps(name, ensure_ascii=False))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding}, check=True
    )
    assert json.loads(done.stdout.decode(encoding)) == "ca\udcf1on \u732b \U0001f408"
