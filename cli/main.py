"""The command line: `collect-and-train`."""

from __future__ import annotations

import importlib

from cli.app import app
from workspace.errors import CollectAndTrainError
from workspace.terminal import CONSOLE

# A command registers when its module is imported; help lists the commands in this order.
COMMAND_MODULES = (
    *("run", "collect", "steps", "images.review", "operate"),
    *("models.predict", "models.serve", "models.export", "models.history"),
    *("images.sources", "images.retry", "images.leaks", "images.rename", "images.forget"),
)
for _module in COMMAND_MODULES:
    importlib.import_module(f"cli.commands.{_module}")


def main() -> None:
    """Run the command line; an expected failure is one message and exit code 1."""
    try:
        app()
    except CollectAndTrainError as error:
        CONSOLE.print(f"[bold red]Error:[/] {_plain(str(error))}", highlight=False)
        raise SystemExit(1) from None


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


if __name__ == "__main__":
    main()
