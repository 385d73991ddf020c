"""What the documents and the help say of a workspace that is in use is what the lock does."""

import re
from pathlib import Path

import pytest

from cli.commands import operate
from flows.retrain import retrain
from workspace.storage.lock import LOCK_WAIT_S

ROOT = Path(__file__).resolve().parents[2]
LIMIT = f"{LOCK_WAIT_S / 60:.0f} minutes"


@pytest.mark.parametrize("page", ["operating.md", "howto/nightly-retraining.md", "howto/large.md", "howto/prefect.md"])
def test_a_page_that_says_that_one_process_waits_for_another_says_how_long(page: str) -> None:
    text = " ".join((ROOT / "docs" / page).read_text(encoding="utf-8").split())
    assert re.search(rf"(at most|up to) {LIMIT}", text)


def test_the_help_says_how_long_a_retraining_waits_and_that_a_watch_does_not() -> None:
    for text in (operate.retrain.__doc__, retrain.fn.__doc__):
        assert LIMIT in str(text)
    assert "next time" in str(operate.watch.__doc__)
