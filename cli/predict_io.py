"""Input and output of `predict`: pictures from arguments, lines from predictions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from collectors.http.picture import fetch_picture
from collectors.http.session import PoliteSession
from preprocessing.images.isolated_decode import read_file, read_stream
from training.inference.predict import ImageInput, Prediction
from workspace.config.clean import CleanConfig
from workspace.config.collect import DownloadConfig, NetworkConfig
from workspace.config.model import WorkspaceConfig, load_config
from workspace.config.operate import ServiceConfig
from workspace.errors import ConfigError
from workspace.image_files import list_images, passed_over_note
from workspace.names import as_text, one_line
from workspace.storage.champion import answering_run
from workspace.storage.paths import Workspace
from workspace.text.csv_rows import csv_line

STDIN = "-"
"""The word for a picture whose bytes come on standard input."""

_COLUMNS = ("picture", "label", "probability", "best", "reason", "error", "answered")


def model_folder(workspace: Path | None, model: Path | None, run: str | None = None) -> Path:
    """Choose the model folder: the one named, a run's, or a workspace's live model, else its latest.

    Raises:
        ConfigError: neither or both of workspace and model are named, or there is no such run.
        WorkspaceError: the workspace has no run yet.
    """
    if (workspace is None) == (model is None):
        raise ConfigError("name one model: --workspace DIR for its live or latest one, or --model DIR")
    if model is not None:
        return model
    return answering_run(Workspace(workspace or Path()), run).model


def is_url(word: str) -> bool:
    """Return whether an argument is fetched rather than opened."""
    return word.lower().startswith(("http://", "https://"))


def pictures_of(
    words: Iterable[str],
    session: PoliteSession,
    max_bytes: int,
    stdin: BinaryIO,
    clean: CleanConfig,
    tell: Callable[[str], None],
) -> Iterator[ImageInput]:
    """Yield pictures from files, folders, URLs and `-`, in their order; a URL is fetched when it is read.

    Args:
        words: what a person named.
        session: fetches, with its limits and its refusal of private addresses.
        max_bytes: the largest file that is fetched.
        stdin: standard input.
        clean: what decoding a file may take; a larger local file is not read.
        tell: takes a sentence on what is passed over in a folder.
    """
    for word in words:
        if word == STDIN:
            yield ImageInput(STDIN, partial(read_stream, stdin, clean))
        elif is_url(word):
            yield ImageInput(word, partial(_fetch, session, word, max_bytes))
        else:
            yield from _on_disk(word, clean, tell)


def _on_disk(word: str, clean: CleanConfig, tell: Callable[[str], None]) -> list[ImageInput]:
    """List a file, or the pictures of a folder; a name that no file can have is that one picture's error."""
    try:
        if not Path(word).is_dir():
            return [ImageInput(word, partial(read_file, Path(word), clean))]
        listing = list_images(Path(word))
        found = [ImageInput(str(file.path), partial(read_file, file.path, clean)) for file in listing.files]
        if note := passed_over_note(word, listing.passed_over):
            tell(note)
    except (OSError, ValueError) as error:  # 300 characters, or a NUL
        return [ImageInput(word, partial(_fail, error))]
    return found or [ImageInput(word, partial(_fail, OSError(0, "there is no picture in this folder")))]


def _fail(error: Exception) -> bytes:
    raise error


def network_of(workspace: Path | None) -> tuple[NetworkConfig, DownloadConfig]:
    """Return a workspace's network and download settings, else the defaults."""
    config = _config_of(workspace)
    return (config.network, config.download) if config else (NetworkConfig(), DownloadConfig())


def clean_of(workspace: Path | None) -> CleanConfig:
    """Return a workspace's cleaning settings, which hold what decoding a file may take, else the defaults."""
    config = _config_of(workspace)
    return config.clean if config else CleanConfig()


def service_config_of(workspace: Path | None) -> ServiceConfig:
    """Return a workspace's settings of serving, decoding and the network, else the defaults."""
    config = _config_of(workspace)
    return ServiceConfig(config.serve, config.clean, config.network) if config else ServiceConfig()


def _config_of(workspace: Path | None) -> WorkspaceConfig | None:
    file = Workspace(workspace).config_file if workspace else None
    return load_config(file) if file is not None and file.is_file() else None


def tab_lines(answers: Iterable[Prediction]) -> Iterator[str]:
    """Write tab-separated lines: picture, label, probability, outcome (`answered`, `refused` or `error`), its reason.

    The outcome has a column of its own, so that no name of a class can be taken for it. The probability is the
    answer's: of `none` there is none, and the reason names the best class with its own.
    """
    for prediction in answers:
        answer = prediction.answer
        if answer is None:
            yield f"{one_line(prediction.name)}\t\t\terror\t{one_line(prediction.error)}"
        elif answer.answered:
            yield f"{one_line(prediction.name)}\t{answer.label}\t{answer.probability:.3f}\tanswered"
        else:
            yield f"{one_line(prediction.name)}\t{answer.label}\t\trefused\t{answer.why_none}"


def csv_lines(answers: Iterable[Prediction]) -> Iterator[str]:
    """Write a header and one row per picture (RFC 4180); `answered` is true or false."""
    yield ",".join(_COLUMNS)
    for prediction in answers:
        row: list[object] = [prediction.name, "", "", "", "", prediction.error, "false"]
        if prediction.answer:
            answer = prediction.answer
            row = [prediction.name, answer.label, f"{answer.probability:.6f}", answer.best, answer.why_none, ""]
            row.append("true" if answer.answered else "false")
        yield as_text(csv_line(row))


def json_lines(answers: Iterable[Prediction]) -> Iterator[str]:
    """Write one JSON object per line, with `answered` (a boolean) and the probability of every class."""
    for prediction in answers:
        answer = prediction.answer
        values: dict[str, object] = {"picture": prediction.name, "answered": answer is not None and answer.answered}
        if answer is None:
            values["error"] = prediction.error
        else:
            values |= {"label": answer.label, "probability": answer.probability, "best": answer.best}
            values |= {} if answer.answered else {"reason": answer.why_none}
            values |= {"distance": answer.distance} if answer.distance is not None else {}
            values |= {"note": prediction.note} if prediction.note else {}
            values["probabilities"] = dict(answer.probabilities)
        yield as_text(json.dumps(values, ensure_ascii=False))


FORMATS: dict[str, Callable[[Iterable[Prediction]], Iterator[str]]] = {
    "tab": tab_lines,
    "csv": csv_lines,
    "json": json_lines,
}
"""Every format by name."""


def _fetch(session: PoliteSession, url: str, max_bytes: int) -> bytes:
    return fetch_picture(session, url, max_bytes, crawled=False)[0]
