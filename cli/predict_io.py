"""From words of a command line to pictures, and from answers to lines: what `predict` reads and writes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from collectors.http.session import PoliteSession
from training.inference.classifier import NONE, Picture, Prediction, picture_files
from workspace.config.collect import DownloadConfig, NetworkConfig
from workspace.config.model import load_config
from workspace.errors import ConfigError
from workspace.storage.champion import answering_run
from workspace.storage.paths import Workspace

STDIN = "-"
"""The word for a picture whose bytes come on standard input."""

_ACCEPT = "image/avif,image/webp,image/png,image/jpeg,image/*;q=0.8"
_COLUMNS = ("picture", "label", "probability", "best", "reason", "error")


def model_folder(workspace: Path | None, model: Path | None, run: str | None = None) -> Path:
    """The model that is asked: a folder, a run's, or a workspace's live model, its latest where none is live.

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
    """Whether a word is fetched rather than opened."""
    return word.lower().startswith(("http://", "https://"))


def pictures_of(
    words: Iterable[str], session: PoliteSession, max_bytes: int, stdin: Callable[[], bytes]
) -> Iterator[Picture]:
    """Pictures for files, folders, addresses, and `-`, in their order; addresses are fetched when they are read.

    Args:
        words: what a person named.
        session: fetches, with its limits and its refusal of private addresses.
        max_bytes: the largest file that is fetched.
        stdin: gives standard input.
    """
    for word in words:
        if word == STDIN:
            yield Picture(STDIN, stdin)
        elif is_url(word):
            yield Picture(word, partial(_fetch, session, word, max_bytes))
        else:
            for path in picture_files([Path(word)]):
                yield Picture(str(path), path.read_bytes)


def network_of(workspace: Path | None) -> tuple[NetworkConfig, DownloadConfig]:
    """How to fetch: a workspace's settings, else the defaults."""
    file = Workspace(workspace).config_file if workspace else None
    if file is None or not file.is_file():
        return NetworkConfig(), DownloadConfig()
    config = load_config(file)
    return config.network, config.download


def tab_lines(answers: Iterable[Prediction]) -> Iterator[str]:
    """Picture, label, probability and, for none, the reason; or picture, `error`, why; parted by tabs."""
    for one in answers:
        if one.answer is None:
            yield f"{one.name}\terror\t{one.error}"
        else:
            reason = f"\t{one.answer.why_none}" if one.answer.why_none else ""
            yield f"{one.name}\t{one.answer.label}\t{one.answer.probability:.3f}{reason}"


def csv_lines(answers: Iterable[Prediction]) -> Iterator[str]:
    """A head and one row per picture (RFC 4180)."""
    yield ",".join(_COLUMNS)
    for one in answers:
        row: list[object] = [one.name, "", "", "", "", one.error]
        if one.answer:
            found = one.answer
            row = [one.name, found.label, f"{found.probability:.6f}", found.best, found.why_none, ""]
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="").writerow(row)
        yield buffer.getvalue()


def json_lines(answers: Iterable[Prediction]) -> Iterator[str]:
    """One JSON object per line, with every class's probability."""
    for one in answers:
        values: dict[str, object] = {"picture": one.name}
        if one.answer is None:
            values["error"] = one.error
        else:
            found = one.answer
            values |= {"label": found.label, "probability": found.probability, "best": found.best}
            values |= {"reason": found.why_none} if found.label == NONE else {}
            values |= {"distance": found.distance} if found.distance is not None else {}
            values["probabilities"] = dict(found.probabilities)
        yield json.dumps(values, ensure_ascii=False)


FORMATS: dict[str, Callable[[Iterable[Prediction]], Iterator[str]]] = {
    "tab": tab_lines,
    "csv": csv_lines,
    "json": json_lines,
}
"""Every format by name."""


def _fetch(session: PoliteSession, url: str, max_bytes: int) -> bytes:
    body = io.BytesIO()
    session.fetch(url, body, max_bytes=max_bytes, accept=_ACCEPT)
    return body.getvalue()
