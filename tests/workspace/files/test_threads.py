"""Object storage is opened by many threads at once, as downloads do in a process that has just begun."""

import subprocess
import sys
from pathlib import Path

# As obstore is made: the store comes first, and what it calls afterwards; slowly here.
PACKAGE = "from . import store\nimport time\ntime.sleep(0.5)\ndef put(*args, **kwargs): return {}\n"
STORE = """
import obstore as obs
class S3Store:
    def __init__(self, *_args, **_more): pass
    def put(self): return obs.put()
"""
OPENS = """
import threading, time
from workspace.files.s3 import connect

failed = []

def open_and_put() -> None:
    try:
        connect("s3://bucket/x", patient=True).put()
    except Exception as error:
        failed.append(repr(error))

threads = [threading.Thread(target=open_and_put) for _ in range(2)]
for thread in threads:
    thread.start()
    time.sleep(0.25)
for thread in threads:
    thread.join()
print(failed)
"""


def test_a_thread_waits_for_the_whole_library_that_another_one_loads(tmp_path: Path) -> None:
    (tmp_path / "obstore").mkdir()
    (tmp_path / "obstore" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "obstore" / "store.py").write_text(STORE)
    checkout = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(checkout)!r}]\n{OPENS}"],
        env={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
