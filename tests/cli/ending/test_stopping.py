"""A command that does not end by itself after Ctrl-C or SIGTERM is cut off; tests/flows/test_operate.py stops a run."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

SCRIPT = """
import subprocess, sys, time
from cli.ending import stopping
stopping.GRACE_S = 0.2
with stopping.resumable():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    print("ready", flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals here")
def test_what_does_not_unwind_is_cut_off_with_its_children() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    os.kill(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, psutil.wait_procs(children, timeout=30)[1]) == (143, [])
    assert said == "Stopped by SIGTERM; the same command goes on where this one stopped.\n"
