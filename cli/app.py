"""The Typer application, and the options that several commands share."""

from __future__ import annotations

import sys
from copy import copy
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import output
from cli.documents.registry import DOCUMENTS, IN_LINES
from workspace.terminal import be_quiet
from workspace.text.invalid_values import words_of

_INTERRUPTED = 130

_IN_LINES_HELP = "Print one JSON document per picture, one a line (JSON Lines), and nothing else, on standard output."


class Commands(TyperGroup):
    """The commands, each with the option --quiet, those that have a document with --json too.

    Their EOFErrors come through: the library takes each for Ctrl-D, and says "Aborted." alone.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        quiet, as_json = (next(param for param in self.params if param.name == name) for name in ("quiet", "_json"))
        self.params.remove(as_json)  # what a command answers is its own
        in_lines = copy(as_json)
        in_lines.help = _IN_LINES_HELP  # type: ignore[attr-defined]
        for name, command in self.commands.items():
            wanted = [in_lines if name in IN_LINES else as_json] if name in DOCUMENTS else []
            command.params += [*wanted, quiet]

    def main(self, args: Any = None, *, standalone_mode: bool = True, **options: Any) -> Any:  # type: ignore[override]
        """Run the command line; with --json among its words wrong usage and Ctrl-C are told as JSON too."""
        words = sys.argv[1:] if args is None else list(args)
        output.begin(wants_json="--json" in words)
        if not standalone_mode or not output.wants_json():
            return super().main(args, standalone_mode=standalone_mode, **options)
        try:
            code = super().main(args, standalone_mode=False, **options)
        except typer.Abort:
            output.fail("Abort", "it was aborted", 1)
        except Exception as error:
            if not hasattr(error, "format_message"):  # the library's own, for wrong usage
                raise
            output.fail("UsageError", error.format_message(), getattr(error, "exit_code", 2))
        if code == _INTERRUPTED:
            output.fail("KeyboardInterrupt", "it was stopped by Ctrl-C", _INTERRUPTED)
        raise SystemExit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            RuntimeError: in place of an EOFError.
            UsageError: the library's own, in our words.
        """
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise RuntimeError(f"a file or a stream ended too early: {error}") from error
        except Exception as error:
            if hasattr(error, "format_message"):  # the library's own, for wrong usage
                _put_into_our_words(error)
            raise


def _put_into_our_words(error: Any) -> None:
    from pydantic import ValidationError

    if isinstance(error.__cause__, ValidationError):
        error.message = "; ".join(map(words_of, error.__cause__.errors()))
    params = getattr(getattr(error.ctx, "command", None), "params", ())
    if "unexpected extra argument" in error.message and any(param.name == "photos" for param in params):
        error.message += ": a folder of pictures is named with --photos"


app = typer.Typer(
    name="collect-and-train",
    cls=Commands,
    help="Search keywords in, a trained and honestly evaluated image classifier out.\n\n"
    "Try it without an account: [bold]collect-and-train demo[/]. "
    'Your own: [bold]collect-and-train run "red panda" raccoon[/].',
    rich_markup_mode="rich",
    epilog="Exit codes: 0 done, 1 failed or not all done, 2 wrong usage, 3 leaks found, 130 stopped by Ctrl-C, 143 by "
    "SIGTERM. Results go to standard output, progress and logs to standard error; colours are left out where NO_COLOR "
    "is set.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _be_quiet(wanted: bool) -> None:
    if wanted:
        be_quiet()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"collect-and-train {version('collect-and-train')}")
        raise typer.Exit


@app.callback()
def _for_every_command(
    quiet: Annotated[  # not exposed: the functions of the commands do not take it
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=_be_quiet,
            expose_value=False,
            help="Leave progress out: results, warnings and errors only.",
        ),
    ] = False,
    _json: Annotated[
        bool,
        typer.Option(
            "--json", expose_value=False, help="Print one JSON document, and nothing else, on standard output."
        ),
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


Folder = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the workspace.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="A setting for this command only; written into workspace.toml where the command creates it. Repeatable.",
    ),
]
Record = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Record every answer of the network in this folder, without keys.")
]
Replay = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Collect from the answers recorded in this folder, without a network."),
]
Keywords = Annotated[
    list[str] | None,
    typer.Argument(help="One class each; none: the classes of the photographs, or of workspace.toml."),
]
NewFolder = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="Folder of the workspace; created when new.", show_default="data/KEYWORDS"),
]
Photos = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER|ZIP|TABLE",
        help="Your own pictures instead of a search: a folder with a folder per class, a zip archive of one, or a "
        "table of path and label.",
    ),
]
Negatives = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Pictures of none of the classes (negatives.folder): what the answer none is set and measured by.",
    ),
]
PerClass = Annotated[int | None, typer.Option(min=1, help="Clean pictures wanted per class; all of your own.")]
WHOLE_PATH = "From keywords to a classifier"
SINGLE_STEPS = "Single steps (each does only what is not done yet)"
OPERATE = "Unattended operation"
OTHER = "Other"


def tape_settings(record: Path | None, replay: Path | None) -> dict[str, str]:
    """Turn --record and --replay into settings of this run."""
    folders = {"network.record": record, "network.replay": replay}
    return {name: str(folder.resolve()) for name, folder in folders.items() if folder is not None}


def require_input(keywords: list[str] | None, folder: Path | None, photos: Path | None) -> None:
    """Raise BadParameter where nothing is named that a workspace could be opened or made from."""
    if not keywords and folder is None and photos is None:
        raise typer.BadParameter("name keywords, your own pictures with --photos, or a workspace with --workspace")
