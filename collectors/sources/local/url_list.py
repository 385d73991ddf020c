"""A file of urls with labels: txt, csv, tsv, jsonl or parquet, read row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.parsing import pixels, read_json
from workspace.config.collect import SearchConfig
from workspace.errors import ConfigError, SourceFailed
from workspace.licenses import license_from
from workspace.names import same_name
from workspace.text import encoding_of

_PAGE_SIZE = 2000
_URL_COLUMNS = ("url", "image_url", "URL")
_LABEL_COLUMNS = ("label", "class", "keyword")
Row = Mapping[str, Any]


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
        if Path(search.url_list.file).suffix.lower() not in _READERS:
            raise ConfigError(
                f"search.url_list.file = {search.url_list.file!r}: the known types are {', '.join(_READERS)}"
            )
        self._template = search.url_list.file

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Read up to 2000 rows; the cursor is the number of rows read so far; see Source.search.

        Raises:
            SourceFailed: `unreachable`: the file cannot be opened; `changed`: its content does not fit its
                suffix, or it has no column url, or no column label where one is needed.
        """
        rows_read = int(cursor or 0)
        file = Path(self._template.replace("{keyword}", keyword)).expanduser()
        try:
            rows = list(islice(read_rows(file), rows_read, rows_read + _PAGE_SIZE))
        except OSError as error:
            raise SourceFailed(
                "unreachable", f"search.url_list.file = {str(file)!r}: {error.strerror or error}"
            ) from error
        except (ValueError, csv.Error, pa.ArrowException) as error:
            raise SourceFailed(
                "changed", f"search.url_list.file = {str(file)!r} cannot be read: {error}"[:300]
            ) from error
        has_labels = "{keyword}" not in self._template
        hits = parse(rows, keyword if has_labels else None, str(file))
        return ResultPage(hits, str(rows_read + len(rows)) if len(rows) == _PAGE_SIZE else None)


def read_rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a file, with few of them in memory at a time.

    Raises:
        OSError: it cannot be opened or read.
        ValueError: its content does not fit its suffix.
    """
    yield from _READERS[file.suffix.lower()](file)


def parse(rows: list[Row], keyword: str | None, file: str) -> tuple[SearchHit, ...]:
    """Convert rows to hits.

    Args:
        rows: with url and label, and perhaps page_url, title, creator, license, license_url, width, height.
        keyword: select rows with this label; None: all rows.
        file: path of the file, for the error's text.

    Raises:
        SourceFailed: `changed`: a row has no url, or no label where one is needed.
    """
    hits = []
    for row in rows:
        url, label = _first(row, _URL_COLUMNS), _first(row, _LABEL_COLUMNS)
        if url is None or (keyword is not None and label is None):
            missing = "url" if url is None else "label (or put {keyword} in the file's name)"
            raise SourceFailed("changed", f"search.url_list.file = {file!r}: a row has no column {missing}")
        if url.strip() and (keyword is None or same_name(str(label), keyword)):
            hits.append(_hit(row, url.strip()))
    return tuple(hits)


def _hit(row: Row, url: str) -> SearchHit:
    license_url = str(row.get("license_url") or "")
    return SearchHit(
        image_url=url,
        page_url=str(row.get("page_url") or ""),
        title=str(row.get("title") or ""),
        creator=str(row.get("creator") or ""),
        license=license_from(str(row.get("license") or "")) or license_from(license_url),
        license_url=license_url,
        attribution=str(row.get("attribution") or ""),
        width=pixels(row.get("width")),
        height=pixels(row.get("height")),
    )


def _first(row: Row, names: tuple[str, ...]) -> str | None:
    return next((str(row[name]) for name in names if row.get(name) is not None), None)


def _encoding(file: Path) -> str:
    with file.open("rb") as stream:
        return encoding_of(stream.read(4))


def _read_txt(file: Path) -> Iterator[Row]:
    """Yield one url per line, with an optional label after a tab; `#` starts a comment line."""
    with file.open(encoding=_encoding(file)) as lines:
        for line in lines:
            url, tab, label = line.strip().partition("\t")
            if url and not url.startswith("#"):
                yield {"url": url, "label": label.strip()} if tab else {"url": url}


def _read_csv(file: Path) -> Iterator[Row]:
    with file.open(encoding=_encoding(file), newline="") as lines:
        yield from csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")


def _read_jsonl(file: Path) -> Iterator[Row]:
    with file.open(encoding=_encoding(file)) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                row = read_json(line)
                if not isinstance(row, dict):
                    raise ValueError(f"line {number} is not a JSON object")
                yield row


def _read_parquet(file: Path) -> Iterator[Row]:
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=_PAGE_SIZE):
            yield from batch.to_pylist()


_READERS = {
    ".txt": _read_txt,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}


def _probe_keyword(search: SearchConfig) -> str:
    try:
        row = next(read_rows(Path(search.url_list.file).expanduser()), {})
    except (OSError, ValueError, KeyError, csv.Error, pa.ArrowException):
        return "cat"  # the search itself reports the error
    return _first(row, _LABEL_COLUMNS) or "cat"


INFO = SourceInfo(
    name="url_list",
    factory=UrlList,
    summary="A file of URLs that you already have: txt, csv, tsv, jsonl or parquet with url and label.",
    limits="none of its own; rate limits per host hold for the downloads",
    licenses=True,
    settings=("file",),
    probe=_probe_keyword,
)
