"""The command `predict`: classify pictures with a trained model."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cli import output
from cli.app import OTHER, app

if TYPE_CHECKING:
    from training.inference.predict import Prediction


class Format(StrEnum):
    """Output format."""

    TAB = "tab"
    CSV = "csv"
    JSON = "json"


@app.command(rich_help_panel=OTHER)
def predict(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders or URLs; - : a picture on stdin. None: a list on stdin, by line or NUL."),
    ] = None,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Workspace whose live model, else latest one, is used.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Model folder to use instead.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Run of the workspace whose model is used.")] = None,
    form: Annotated[
        Format, typer.Option("--format", help="Output format; json: one object per line, with every probability.")
    ] = Format.TAB,
    accept: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Target share of in-class pictures that get an answer; the rest get none."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per forward pass.")] = 32,
) -> None:
    """Classify pictures: one line each with the class, or "none" with the reason; a column says which.

    Exit code 1: some pictures could not be read; the others are still classified.

    Example: find holiday -name "*.jpg" | collect-and-train predict -w data/pandas --format csv
    """
    if not pictures and sys.stdin.isatty():
        raise typer.BadParameter("name pictures, folders or URLs, or pipe a list of them in")
    from cli.names_on_stdin import ByteStream, names_from
    from cli.predict_io import FORMATS, clean_of, model_folder, network_of, pictures_of
    from collectors.http.session import PoliteSession
    from training.inference.classifier import Classifier
    from training.inference.predict import predict as classify
    from workspace.errors import ConfigError
    from workspace.terminal import say

    classifier = Classifier.load(model_folder(workspace, model, run))
    (network, download), limits = network_of(workspace), clean_of(workspace)
    words: Iterable[str] = pictures or names_from(cast(ByteStream, sys.stdin.buffer))
    failed = answered = 0

    def counted(answers: Iterable[Prediction]) -> Iterator[Prediction]:
        nonlocal failed, answered
        for prediction in answers:
            failed += prediction.answer is None
            answered += prediction.answer is not None
            yield prediction

    with PoliteSession(network) as session:
        named = pictures_of(words, session, int(download.max_mb * 1e6), sys.stdin.buffer, limits, say)
        for line in FORMATS[Format.JSON if output.wants_json() else form](
            counted(classify(classifier, named, batch, accept, limits))
        ):
            typer.echo(line)
    if not failed + answered:
        raise ConfigError("standard input names no picture; name one in each line, or separate names by NUL")
    if failed:
        raise typer.Exit(1)
