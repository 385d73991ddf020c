"""How a person's own pictures are arranged: a folder per class, or a table of path and label; on disk or in a zip.

pics/cat/1.jpg                                     a folder per class
pics/train/cat/1.jpg  pics/test/cat/2.jpg          the same, divided into splits
pics/metadata.csv     file_name,label              an image folder as Hugging Face has it
list.csv, list.parquet: path,label                 paths relative to the table, or absolute
pics.zip                                           any of these, but for absolute paths
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

from collectors.sources.local.table import LABEL_COLUMNS, Row, columns_of, read_table, rows_note, table_suffix
from collectors.sources.local.trees import Files, FolderTree, Tree, ZipTree, is_inside, visible_files
from workspace.errors import ConfigError
from workspace.files.image_type import HEAD_BYTES, why_no_image
from workspace.image_files import passed_over_note
from workspace.names import as_text, name_key, one_line

_PATH_COLUMNS = ("path", "file_name", "filename", "file", "file_path", "filepath", "image", "image_path", "image_file")
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"})
_MAX_TABLE_BYTES = 2_000_000_000


class PhotoLayout:
    """The files of each class.

    Args:
        tree: where the files are.
        places: by class: folders of the tree, whose names end with a slash, and files.
        notes: what a person should know of the arrangement.
        where: the path, for messages.
        is_whole: whether the tree is meant as a whole, so that a file in none of the places is passed over; else a
            table chose among its files.
    """

    def __init__(
        self,
        tree: Tree,
        places: Mapping[str, tuple[str, ...]],
        notes: tuple[str, ...],
        where: str,
        *,
        is_whole: bool = True,
    ) -> None:
        self.notes = notes
        self._tree, self._where, self._is_whole = tree, where, is_whole
        self._places: dict[str, tuple[str, ...]] = {}
        self._spellings: dict[str, list[str]] = {}
        for name, own in places.items():
            key = name_key(name)
            self._spellings.setdefault(key, []).append(name)
            self._places[key] = (*self._places.get(key, ()), *own)
        self._files: dict[str, Files] = {}

    @property
    def folders(self) -> tuple[str, ...]:
        """The names of the folders, or the labels of the table, whether or not they have a picture."""
        return tuple(names[0] for names in self._spellings.values())

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of those that have at least one picture, in order."""
        return tuple(name for name in self.folders if any(self._images(name)))

    def files(self, keyword: str) -> Files:
        """List the files of a class, however its name is spelled; of any type."""
        key = name_key(keyword)
        if key not in self._files:
            versions: dict[str, str] = {}
            passed_over: dict[str, str] = {}
            for place in self._places.get(key, ()):
                found = self._tree.files(place) if place.endswith("/") else self._single(place)
                versions |= found.versions
                passed_over |= found.passed_over
            self._files[key] = Files(dict(sorted(versions.items())), dict(sorted(passed_over.items())))
        return self._files[key]

    def left_out(self, keywords: Iterable[str]) -> tuple[str, ...]:
        """Say what a search for these keywords passes over, in sentences that count and name it.

        Args:
            keywords: all that are searched for. What is passed over in their own folders is not said here, but by the
                search for each.
        """
        searched = {name_key(word) for word in keywords}
        where, others = one_line(self._where), dict(self._beside)
        notes = [
            f"{where}: {', '.join(map(repr, names))} are one class: case, and spaces, hyphens and underscores between "
            "words, make no difference"
            for names in self._spellings.values()
            if len(names) > 1
        ]
        empty, unread = [], []
        for name in self.folders:
            if name_key(name) in searched:
                continue
            if count := self.count(name):
                unread.append(f"{one_line(name)} ({count})")
            else:
                empty.append(one_line(name))
                files = self.files(name)
                others |= {**files.passed_over} | {file: self.why_not_image(file) for file in files.versions}
        if unread:
            notes.append(
                f"{where}: pictures are left out, since no class has these keywords: {', '.join(unread)}; add them "
                "under [classes] in workspace.toml"
            )
        if empty:
            notes.append(f"{where}: no picture of {', '.join(empty)}, which makes no class")
        return (*self.notes, *notes, *filter(None, [self.passed_over_note(others)]))

    @cached_property
    def _beside(self) -> dict[str, str]:
        """The files that are in no place, each with its reason."""
        if not self._is_whole:
            return {}
        found = self._tree.files("")
        places = {place for own in self._places.values() for place in own}
        folders = tuple(place for place in places if place.endswith("/"))
        by_folder = len(folders) == len(places)
        reason = "in no folder of a class" if by_folder else "not listed in the metadata"
        return {
            name: found.passed_over.get(name, reason)
            for name in (*found.versions, *found.passed_over)
            if name not in places
            and f"{name}/" not in places
            and not name.startswith(folders)
            and _last(name) not in _METADATA
            and is_inside(name)  # others are told for every class of an archive
        }

    @property
    def is_by_folder(self) -> bool:
        """Whether every class is a folder; else a table gives the labels."""
        return all(place.endswith("/") for own in self._places.values() for place in own)

    def count(self, keyword: str) -> int:
        """Count the images of a class, by content."""
        return sum(1 for _ in self._images(keyword))

    def _images(self, keyword: str) -> Iterator[str]:
        return (file for file in self.files(keyword).versions if not self.why_not_image(file))

    def why_not_image(self, name: str) -> str:
        """Say what a file is that is no image, by content; empty for an image, and where it cannot be read."""
        try:
            return why_no_image(self._tree.read(name, HEAD_BYTES))
        except OSError:
            return ""

    def read(self, name: str, limit: int) -> bytes:
        """Read at most the first `limit` bytes of a file.

        Raises:
            OSError: there is no such file, or it cannot be read.
        """
        return self._tree.read(name, limit)

    def passed_over_note(self, passed_over: Mapping[str, str]) -> str:
        """Count and name what was passed over, in a sentence; empty where nothing was."""
        return passed_over_note(self._where, passed_over)

    def _single(self, name: str) -> Files:
        try:
            return Files({name: self._tree.version(name)})
        except OSError as error:
            return Files({}, {name: error.strerror or str(error)})


def read_photo_layout(path: Path) -> PhotoLayout:
    """Find out how pictures are arranged, and the classes that the arrangement names.

    Args:
        path: a folder, a zip archive, or a table (csv, tsv, jsonl, parquet) with the columns path and label.

    Example:
        `read_photo_layout(Path("pics")).classes` is `("cat", "dog")` for the folders pics/cat and pics/dog.

    Raises:
        ConfigError: it is none of these, cannot be read, or names no class.
    """
    where = as_text(str(path))
    try:
        if not path.exists():
            raise ConfigError(f"{where} does not exist; name a folder, a zip archive or a table of path and label")
        if path.is_dir():
            return _arranged(FolderTree(path), path, "")
        if zipfile.is_zipfile(path):
            tree = ZipTree(path)
            return _arranged(tree, path, _wrapping_folder(tree))
        if suffix := table_suffix(path.name):
            with path.open("rb") as stream:
                rows = list(read_table(stream, suffix))
            return _from_table(path, rows)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where} cannot be read: {getattr(error, 'strerror', '') or error}") from error
    raise ConfigError(f"{where} is no folder, no zip archive and no table (csv, tsv, jsonl, parquet) of path and label")


def _arranged(tree: Tree, path: Path, top: str) -> PhotoLayout:
    """Arrange a folder or an archive: by its metadata where that has labels, else by its folders."""
    folders = tree.folders(top)
    splits = [folder for folder in folders if _last(folder).casefold() in _SPLITS]
    tops, notes = [top], []
    if splits == folders and any(tree.folders(split) for split in splits):
        tops = splits
        notes = [
            f"{as_text(str(path))}: the splits {', '.join(map(_last, splits))} are used as one, since `split` makes "
            "its own; name one of them to leave the others out"
        ]
    places: dict[str, tuple[str, ...]] = {}
    for folder in tops:
        for name, own in (_from_metadata(tree, folder, path, notes) or _by_folder(tree, folder)).items():
            places[name] = (*places.get(name, ()), *own)
    if not places:
        raise ConfigError(
            f"{as_text(str(path))} has no subfolder; it needs one subfolder of pictures per class, or metadata.csv "
            "with the columns file_name and label"
            + "".join(f"\n{note}" for note in [passed_over_note(str(path), tree.files("").passed_over)] if note)
        )
    return PhotoLayout(tree, places, tuple(notes), str(path))


def _by_folder(tree: Tree, top: str) -> dict[str, tuple[str, ...]]:
    return {_last(folder): (folder,) for folder in tree.folders(top)}


def _from_metadata(tree: Tree, top: str, path: Path, notes: list[str]) -> dict[str, tuple[str, ...]]:
    """Read metadata.csv, .jsonl or .parquet of a folder; nothing where there is none, or it has no labels."""
    for name in (f"{top}{name}" for name in _METADATA):
        try:
            data = tree.read(name, _MAX_TABLE_BYTES)
        except OSError:
            continue
        rows = list(read_table(io.BytesIO(data), table_suffix(name)))
        if any(row.first(LABEL_COLUMNS) for row in rows):
            places, problems = _labelled(rows, top, None)
            notes += [note] if (note := rows_note(f"{as_text(str(path))}: {name}", problems)) else []
            return places
    return {}


def _from_table(table: Path, rows: list[Row]) -> PhotoLayout:
    places, problems = _labelled(rows, "", table.parent)
    where = as_text(str(table))
    if not places:
        raise ConfigError(f"{where} has no row with path and label; {columns_of(rows)}")
    note = rows_note(where, problems)
    listed = frozenset(name for own in places.values() for name in own if not is_inside(name))
    return PhotoLayout(FolderTree(table.parent, listed), places, (note,) if note else (), str(table), is_whole=False)


def _labelled(
    rows: list[Row], top: str, outside: Path | None
) -> tuple[dict[str, tuple[str, ...]], list[tuple[int, str]]]:
    """Group the paths of rows by label; also return the rows that cannot be used.

    Args:
        rows: of the table.
        top: what their paths are relative to, within the tree.
        outside: the folder of the table where its paths may lead out of it; None: they may not.
    """
    places: dict[str, dict[str, None]] = {}
    problems = []
    for row in rows:
        path, label = row.first(_PATH_COLUMNS), row.first(LABEL_COLUMNS)
        name = top + str(PurePosixPath(path.replace("\\", "/"))) if path else ""
        problem = row.problem or ("" if path else "no path") or ("" if label else "no label")
        if not problem and "://" in path:
            problem = "a URL: use the source url_list"
        if not problem and outside is None and not is_inside(name):
            problem = "its path leads out of the folder"
        if problem:
            problems.append((row.number, problem))
        else:
            places.setdefault(label, {}).setdefault(name)
    return {label: tuple(names) for label, names in places.items()}, problems


def _wrapping_folder(tree: Tree) -> str:
    """Return the folder that an archive was made of, where it has nothing else; '' where there is none."""
    top = ""
    while len(folders := tree.folders(top)) == 1 and not any(visible_files(tree, top)):
        inside = folders[0]
        if not tree.folders(inside) and not any(_last(name) in _METADATA for name in visible_files(tree, inside)):
            break
        top = inside
    return top


def _last(name: str) -> str:
    return PurePosixPath(name).name
