"""What a command answers, on standard output: text for people, or with --json a JSON document for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NoReturn

import typer
from pydantic import BaseModel

from workspace.names import as_text


class _Mode:
    """Whether this call of the command line wants JSON; a test makes several calls in one process."""

    wants_json = False


def begin(*, wants_json: bool) -> None:
    """Set what the command that begins now will answer with."""
    _Mode.wants_json = wants_json


def wants_json() -> bool:
    """Return whether standard output is for JSON alone."""
    return _Mode.wants_json


def answer(document: BaseModel, text: str | Callable[[], str] = "") -> None:
    """Print a command's answer: the document with --json, else the text, if there is any.

    Args:
        document: one of cli/documents.
        text: with line breaks at its end left out; a function where it costs something to make.
    """
    if _Mode.wants_json:
        typer.echo(json_line(document, indent=2))
        return
    shown = text if isinstance(text, str) else text()
    if shown:
        typer.echo(shown)


def tell(text: str) -> None:
    """Print a line beside the answer; none with --json."""
    if not _Mode.wants_json:
        typer.echo(text)


def json_line(document: BaseModel, indent: int | None = None) -> str:
    """Write a document as JSON; a file name that is not UTF-8 is written with escapes."""
    return as_text(json.dumps(document.model_dump(mode="json"), ensure_ascii=False, indent=indent, allow_nan=False))


def fail(error: BaseException | str, message: str, exit_code: int) -> NoReturn:
    """Print a failure as JSON, and end with the exit code that it has without --json; arguments as of `failure`."""
    kind = error if isinstance(error, str) else type(error).__name__
    typer.echo(failure(kind, message, exit_code))
    raise SystemExit(exit_code)


def failure(kind: str, message: str, exit_code: int) -> str:
    """Write a failure as one line of JSON.

    Args:
        kind: the name of an exception's class.
        message: for people.
        exit_code: as `collect-and-train --help` lists them.
    """
    from cli.documents.base import Failure

    return json_line(Failure(error=message, kind=kind, exit_code=exit_code))
