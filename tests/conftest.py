"""Loaded before every test: the environment's defaults are those that the command line sets."""

import flows  # noqa: F401, I001  (sets them, before torch and Prefect are loaded)
import prefect  # noqa: F401  (runs its plugin hooks now: it cannot inside the event loop that a browser test keeps open)

from collections.abc import Generator

import pytest

SETUP_BROWSER = "make setup-browser"


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after what pytest itself prints
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    yield
    skipped = [one for one in terminalreporter.getreports("skipped") if SETUP_BROWSER in str(one.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} browser tests were skipped, for want of a Chromium. To run them too: {SETUP_BROWSER}",
            yellow=True,
        )
