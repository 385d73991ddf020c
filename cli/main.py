"""The command line: `collect-and-train`."""

from __future__ import annotations

import importlib
from typing import NoReturn

from rich.text import Text

from cli import output
from cli.app import app
from cli.ending.unforeseen import sentence_for
from workspace.errors import CollectAndTrainError, UsageError
from workspace.terminal import CONSOLE, log_on_stderr, never_fail_to_print

# A command registers when its module is imported; help lists the commands in this order.
COMMAND_MODULES = (
    *("run", "collect", "estimate", "steps", "images.review", "operate", "move"),
    *("models.predict", "models.serve", "models.export", "models.history"),
    *("images.sources", "images.retry", "images.leaks", "images.rename", "images.forget"),
)
for _module in COMMAND_MODULES:
    importlib.import_module(f"cli.commands.{_module}")


def main() -> None:
    """Run the command line; a failure is one message and exit code 1, or 2 for wrong usage."""
    never_fail_to_print()
    try:
        with log_on_stderr():
            app()
    except UsageError as error:
        _fail(error, str(error), 2)
    except CollectAndTrainError as error:
        _fail(error, str(error))
    except Exception as error:  # the one net: whatever its own place did not foresee is a sentence too
        _fail(error, sentence_for(error))


def _fail(error: Exception, text: str, code: int = 1) -> NoReturn:
    if output.wants_json():
        output.fail(error, text, code)
    CONSOLE.quiet = False  # who asked for quiet is told of a failure all the same
    CONSOLE.print(Text.assemble(("Error:", "bold red"), f" {text}"))
    raise SystemExit(code) from None


if __name__ == "__main__":
    main()
