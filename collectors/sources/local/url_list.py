"""A file of urls with labels: txt, csv, tsv, jsonl or parquet, read row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.local.table import (
    LABEL_COLUMNS,
    TABLE_SUFFIXES,
    Row,
    columns_of,
    read_table,
    rows_note,
    table_suffix,
)
from collectors.sources.parsing import pixels
from workspace.config.collect import SearchConfig
from workspace.errors import ConfigError, SourceFailed
from workspace.licenses import license_from
from workspace.names import as_text, same_name

_PAGE_SIZE = 2000
_MOST_OPEN = 16
_URL_COLUMNS = ("url", "image_url")


class UrlList:
    """Return the rows whose label is the keyword, or every row of a file that is named after the keyword.

    Args:
        search: names the file; {keyword} in it stands for the keyword.

    Raises:
        ConfigError: no file is named, or its type is unknown.
    """

    def __init__(self, search: SearchConfig) -> None:
        if not search.url_list.file:
            raise ConfigError(
                "the source url_list needs file in [search.url_list], a txt, csv, tsv, jsonl or parquet file"
            )
        if not table_suffix(search.url_list.file):
            raise ConfigError(
                f"search.url_list.file = {search.url_list.file!r}: the known types are {', '.join(TABLE_SUFFIXES)}"
            )
        self._settings = search.url_list
        self._readings: dict[str, _Reading] = {}

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Read up to 2000 rows; the cursor is the number of rows read so far; see Source.search.

        Raises:
            SourceFailed: `unreachable`: the file cannot be opened; `changed`: its content does not fit its
                suffix, or none of all its rows can be used.
        """
        rows_read = int(cursor or 0)
        file, labelled = self._file(keyword), "{keyword}" not in self._settings.file
        try:
            rows = self._page(keyword, file, rows_read)
            # A block of bad rows hides none that follow it.
            if rows and not rows_read and all(_problem(row, labelled) for row in chain(rows, read_rows(file))):
                raise _unusable(rows, file)
        except OSError as error:
            raise SourceFailed(
                "unreachable", f"search.url_list.file = {str(file)!r}: {error.strerror or error}"
            ) from error
        except ValueError as error:
            raise SourceFailed(
                "changed", f"search.url_list.file = {str(file)!r} cannot be read: {error}"[:300]
            ) from error
        hits, note = parse(rows, keyword, str(file), labelled=labelled)
        return ResultPage(
            hits, str(rows_read + len(rows)) if len(rows) == _PAGE_SIZE else None, (note,) if note else ()
        )

    def scope(self, keyword: str) -> object:
        """See Scoped.scope: the file, its size and time of change."""
        file = self._file(keyword)
        try:
            status = file.stat()
        except OSError:
            return as_text(str(file))
        return as_text(str(file)), status.st_size, status.st_mtime_ns

    def _page(self, keyword: str, file: Path, rows_read: int) -> list[Row]:
        """Read the rows after the first `rows_read`: a long file is read once, not from its start for every page."""
        reading = self._readings.pop(keyword, None)
        if reading is None or reading.rows_read != rows_read:
            reading = _Reading(read_rows(file))
            reading.read(rows_read)
        rows = reading.read(_PAGE_SIZE)
        if len(rows) == _PAGE_SIZE:
            self._readings[keyword] = reading
        if len(self._readings) > _MOST_OPEN:  # each holds its file open
            del self._readings[next(iter(self._readings))]
        return rows

    def _file(self, keyword: str) -> Path:
        return self._settings.place(keyword)


class _Reading:
    """A file that is being read, and how many of its rows were."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self.rows_read, self._rows = 0, rows

    def read(self, count: int) -> list[Row]:
        rows = list(islice(self._rows, count))
        self.rows_read += len(rows)
        return rows


def parse(rows: list[Row], keyword: str, file: str, *, labelled: bool) -> tuple[tuple[SearchHit, ...], str]:
    """Convert rows to hits; also return a sentence that counts and names the rows that were skipped.

    Args:
        rows: with url and label, and perhaps page_url, title, creator, license, license_url, width, height.
        keyword: select rows with this label.
        file: path of the file, for messages.
        labelled: whether rows need a label; else all are the keyword's.
    """
    hits, problems = [], []
    for row in rows:
        if problem := _problem(row, labelled):
            problems.append((row.number, problem))
        elif not labelled or same_name(row.first(LABEL_COLUMNS), keyword):
            hits.append(_hit(row))
    return tuple(hits), rows_note(f"search.url_list.file = {file!r}", problems)


def _problem(row: Row, labelled: bool) -> str:
    if row.problem or not row.first(_URL_COLUMNS):
        return row.problem or "no url"
    return "no label" if labelled and not row.first(LABEL_COLUMNS) else ""


def _unusable(rows: Sequence[Row], file: Path) -> SourceFailed:
    return SourceFailed(
        "changed",
        f"search.url_list.file = {str(file)!r}: none of its rows can be used, row {rows[0].number}: "
        f"{_problem(rows[0], labelled=True)}; it needs the columns url and label (or {{keyword}} in the file's name); "
        f"{columns_of(rows)}",
    )


def _hit(row: Row) -> SearchHit:
    license_url = _text(row, "license_url")
    return SearchHit(
        image_url=row.first(_URL_COLUMNS),
        page_url=_text(row, "page_url"),
        title=_text(row, "title"),
        creator=_text(row, "creator"),
        license=license_from(_text(row, "license")) or license_from(license_url),
        license_url=license_url,
        attribution=_text(row, "attribution"),
        width=pixels(row.values.get("width")),
        height=pixels(row.values.get("height")),
    )


def _text(row: Row, column: str) -> str:
    return str(row.values.get(column) or "")


def read_rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a file; see read_table.

    Raises:
        OSError: it cannot be opened or read.
        ValueError: its content does not fit its suffix.
    """
    with file.open("rb") as stream:
        yield from read_table(stream, file.suffix)


def _probe_keyword(search: SearchConfig) -> str:
    try:
        row = next(read_rows(search.url_list.place("{keyword}")), Row(0))
    except (OSError, ValueError):
        return "cat"  # the search itself reports the error
    return row.first(LABEL_COLUMNS) or "cat"


INFO = SourceInfo(
    name="url_list",
    factory=UrlList,
    summary="A file of URLs that you already have: txt, csv, tsv, jsonl or parquet with url and label.",
    limits="none of its own; rate limits per host hold for the downloads",
    licenses=True,
    settings=("file",),
    probe=_probe_keyword,
)
