"""Rows of a person's table: csv, tsv, jsonl or parquet, read row by row; one that cannot be read ends no table."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from collectors.sources.parsing import read_json
from workspace.names import as_text, is_text, name_key
from workspace.text.counts import counted
from workspace.text.encoding import PLAIN, encoding_of

_BATCH_ROWS = 2000
_NAMED = 5  # rows in one note
_DELIMITERS = ",;\t|"  # of equals the first; in a .tsv the tab
LABEL_COLUMNS = ("label", "class", "keyword", "category", "class_name", "label_name")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        number: counted from 1; in a text file the number of its line.
        values: by column; names of columns as `column_key` writes them.
        problem: why it cannot be used; empty where it can.
    """

    number: int
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""

    def first(self, columns: Sequence[str]) -> str:
        """Return the text of the first of these columns that has one; empty where none has."""
        texts = (str(self.values[name]).strip() for name in columns if self.values.get(name) is not None)
        return next((text for text in texts if text), "")


def column_key(name: object) -> str:
    """Reduce the name of a column: `" Image URL"` and `image_url` are one."""
    return as_text(name_key(str(name)).replace(" ", "_").replace("-", "_"))


def read_table(stream: BinaryIO, suffix: str) -> Iterator[Row]:
    """Yield the rows of a table, with few of them in memory at a time.

    Args:
        stream: the file's bytes, seekable.
        suffix: of its name, one of TABLE_SUFFIXES in any case.

    Raises:
        OSError: it cannot be read.
        ValueError: its content does not fit its suffix.
    """
    try:
        yield from _READERS[suffix.lower()](stream)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def rows_note(file: str, problems: Iterable[tuple[int, str]]) -> str:
    """Write one sentence that counts the rows that were skipped and names some; empty where none was.

    Example:
        >>> rows_note("list.csv", [(29, "no url"), (31, "no url")])
        'list.csv: 2 rows skipped: row 29 (no url), row 31 (no url)'
    """
    skipped = list(problems)
    if not skipped:
        return ""
    named = [f"row {number} ({why})" for number, why in skipped[:_NAMED]]
    named += [f"and {len(skipped) - _NAMED} more"] if len(skipped) > _NAMED else []
    return f"{file}: {counted(len(skipped), 'row')} skipped: {', '.join(named)}"


def columns_of(rows: Iterable[Row]) -> str:
    """List the columns of these rows in words."""
    names = dict.fromkeys(itertools.chain.from_iterable(row.values for row in rows))
    return f"its columns are {', '.join(names)}" if names else "it has no columns"


def text_lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a text in UTF-8, or in UTF-16 or UTF-32; bytes that are none become lone surrogates."""
    head = stream.read(4)
    stream.seek(0)
    encoding = encoding_of(head)
    if encoding == PLAIN and b"\0" in head:  # without a mark: every second byte of ASCII in UTF-16 is zero
        encoding = "utf-16-be" if head.startswith(b"\0") else "utf-16-le"
    errors = "surrogateescape" if encoding == PLAIN else "replace"
    with io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="") as lines:
        yield from lines


def _read_txt(stream: BinaryIO) -> Iterator[Row]:
    """Yield one url per line, with an optional label after white space; `#` starts a comment line."""
    for number, line in enumerate(text_lines(stream), 1):
        url, *label = line.strip().split(None, 1)[:2] or [""]
        if url and not url.startswith("#"):
            yield _checked(Row(number, {"url": url, "label": label[0]} if label else {"url": url}))


def _read_csv(stream: BinaryIO, delimiters: str = _DELIMITERS) -> Iterator[Row]:
    lines = _Lines(text_lines(stream))
    header = next((line for line in lines if line.strip()), "")
    try:
        headers = {mark: next(csv.reader([header], delimiter=mark), []) for mark in delimiters}
    except csv.Error as error:
        raise ValueError(f"its first line is no header: {error}") from error
    delimiter = max(delimiters, key=lambda mark: len(headers[mark]))
    names = [column_key(name) for name in headers[delimiter]]
    lines.forget()
    while (first := next(lines, None)) is not None:
        start = lines.number
        if not first.strip():
            lines.forget()
            continue
        lines.push_back([first])
        try:
            fields = next(csv.reader(lines, delimiter=delimiter))
        except csv.Error as error:
            fields, problem = [], str(error)
        else:
            problem = _misfit(fields, names) or _open_quote(lines.taken, delimiter)
        if problem and lines.number > start:  # a quote that is never closed takes the lines after it with it
            lines.return_to(start)
        values = dict(zip(names, fields, strict=False))
        yield Row(start, values, problem) if problem else _checked(Row(start, values))
        lines.forget()


def _misfit(fields: Sequence[str], names: Sequence[str]) -> str:
    if len(fields) > len(names) and any(field.strip() for field in fields[len(names) :]):
        return f"{len(fields)} fields, the header has {len(names)}"
    return ""


def _open_quote(lines: Sequence[str], delimiter: str) -> str:
    """Say that a row of several lines has a quote that ends in another row, or nowhere."""
    if len(lines) > 1:
        try:
            list(csv.reader(lines, delimiter=delimiter, strict=True))
        except csv.Error:
            return "a quote that is not closed"
    return ""


class _Lines:
    """The lines of a file, numbered from 1; those taken since `forget` can be returned to."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.taken: list[str] = []
        self._waiting: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._waiting.pop() if self._waiting else next(self._lines)
        self.taken.append(line)
        self.number += 1
        return line

    def push_back(self, lines: Sequence[str]) -> None:
        self._waiting += reversed(lines)
        self.number -= len(lines)
        del self.taken[len(self.taken) - len(lines) :]

    def return_to(self, number: int) -> None:
        self.push_back(self.taken[len(self.taken) - (self.number - number) :])

    def forget(self) -> None:
        self.taken.clear()


def _read_jsonl(stream: BinaryIO) -> Iterator[Row]:
    for number, line in enumerate(text_lines(stream), 1):
        if not line.strip():
            continue
        try:
            value = read_json(line)
        except ValueError:
            yield Row(number, problem="no JSON")
            continue
        if isinstance(value, dict):
            yield _checked(Row(number, {column_key(name): item for name, item in value.items()}))
        else:
            yield Row(number, problem="no JSON object")


def _read_parquet(stream: BinaryIO) -> Iterator[Row]:
    number = 0
    with pq.ParquetFile(stream) as table:
        for batch in table.iter_batches(batch_size=_BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield _checked(Row(number, {column_key(name): item for name, item in row.items()}))


def _checked(row: Row) -> Row:
    """Mark a row that has bytes that are not UTF-8."""
    if all(is_text(item) for item in row.values.values() if isinstance(item, str)):
        return row
    return Row(row.number, row.values, "not UTF-8: save the file as UTF-8")


_READERS: dict[str, Callable[[BinaryIO], Iterator[Row]]] = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".tsv": partial(_read_csv, delimiters="\t,;|"),
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
TABLE_SUFFIXES = tuple(_READERS)


def table_suffix(name: str) -> str:
    """Return the suffix of a file that is a table by its name; empty for any other."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in _READERS else ""
