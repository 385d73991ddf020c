"""Import the images that a user puts into `inbox/<class>/` of the workspace, as the source `inbox`.

Files are copied into images/ and stay where they are. A url such as `inbox:red%20panda/1.jpg?5120-17600000` holds
size and modification time, so that a file is read once, and again only after it was replaced. Those of the folder
`negatives.folder` come in by the same door: `inbox:/negatives/1.jpg?5120-17600000`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from collectors.intake import INBOX_SCHEME, Intake, failed_row
from collectors.moved_files import NEGATIVES, drop_moved_files
from collectors.sources.local.folder import place_url, read_capped
from workspace.catalog.catalog import Catalog
from workspace.catalog.counts import urls_found_by
from workspace.catalog.failures import failures_under
from workspace.catalog.records import Download, Hit, StepCounts
from workspace.clock import utc_now
from workspace.config.model import WorkspaceConfig
from workspace.errors import TransferFailed, WorkspaceError
from workspace.image_files import is_hidden, list_files, passed_over_note
from workspace.names import NO_CLASS, as_text, name_key, one_line
from workspace.progress import SILENT, Progress
from workspace.reasons import in_order, words_for
from workspace.served.kept import KeptPictures
from workspace.storage.image_store import ImageStore, record_lost_files
from workspace.storage.paths import Workspace
from workspace.storage.withdrawal import withdrawn_files
from workspace.text.counts import counted

SOURCE = "inbox"
_BATCH = 32  # files per commit
_NAMED = 5  # names in one note
_UNFINISHED = (".part", ".crdownload", ".download", ".tmp", ".filepart")


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Import every new or replaced file of the inbox; each becomes a row of downloads, with a reason where it fails.

    One that failed is tried again, as is one that was too large and fits `download.max_mb` now.

    A file that changed less than `retrain.settle_s` ago, or that is named like an unfinished download, is left for the
    next run. Folders are matched to classes by name or by one of the class's keywords; inbox/none/ takes negatives,
    where the settings want any.

    Raises:
        WorkspaceError: the inbox cannot be read, or the workspace cannot be written.
    """
    places, notes = _places(workspace, config)
    with workspace.open_catalog() as catalog:
        record_lost_files(workspace, catalog)
        found, again = _found_and_again(catalog, config)
        known, rank = found - again, len(found)
        unsettled, new = 0, []
        files, passed_over = _files(places)
        for file in files:
            if file.url in known:
                continue
            if file.is_settled:
                new.append(file)
            else:
                unsettled += 1
        progress.begin("Importing the inbox", len(new))
        intake = Intake(
            ImageStore(workspace), withdrawn_files(catalog), max_bytes=int(config.download.max_mb * 1e6), durable=True
        )
        kept, failed_again = KeptPictures(workspace), 0
        for start in range(0, len(new), _BATCH):
            batch = new[start : start + _BATCH]
            rows = [_import(intake, file) for file in batch]
            catalog.put(rows)  # before the hits, which mark the files as imported
            for file, row in zip(batch, rows, strict=True):
                failed_again += row.status == "failed" and row.image_url in again
                if row.status != "ok":
                    passed_over[file.place.root][f"{file.place.name}{file.name}"] = words_for(row.reason)
            catalog.add_new([_hit(kept, config, file, rank + start + index) for index, file in enumerate(batch)])
            progress.advance(len(batch))
        moved = drop_moved_files(workspace, config, catalog)
        imported = [row for row in catalog.all(Download) if row.image_url.startswith(INBOX_SCHEME)]
    reasons = Counter("taken in" if row.status == "ok" else f"{row.status}: {row.reason}" for row in imported)
    reasons |= Counter({"still being written": unsettled} if unsettled else {})
    notes = (*notes, *moved, *filter(None, (passed_over_note(str(root), those) for root, those in passed_over.items())))
    for note in notes:
        progress.warn(note)
    return StepCounts("inbox", len(new) - failed_again, len(known) + failed_again, in_order(reasons), notes=notes)


def waiting(workspace: Workspace, config: WorkspaceConfig) -> list[str]:
    """Say in sentences what lies in the inbox and was not taken in yet; changes nothing.

    Raises:
        WorkspaceError: the inbox or the catalogue cannot be read.
    """
    places, notes = _class_folders(workspace, config)
    new = _not_taken_in(workspace, config, places)
    if not new:
        return [*notes]
    classes = ", ".join(f"{label} {count}" for label, count in new.items())
    number = counted(new.total(), "file")
    return [f"{number} not taken in yet ({classes}); to take in: {workspace.command('watch')}", *notes]


def waiting_by_class(workspace: Workspace, config: WorkspaceConfig) -> Mapping[str, int]:
    """Count the files that were not taken in yet, of the inbox and of the negatives' folder; changes nothing.

    Raises:
        WorkspaceError: the inbox, the negatives' folder or the catalogue cannot be read.
    """
    return _not_taken_in(workspace, config, _places(workspace, config)[0])


def _not_taken_in(workspace: Workspace, config: WorkspaceConfig, places: Sequence[_Place]) -> Counter[str]:
    files, _ = _files(places)
    known: set[str] = set()
    if files and workspace.has_catalog():
        with workspace.open_catalog() as catalog:
            found, again = _found_and_again(catalog, config)
            known = found - again
    return Counter(file.place.label for file in files if file.url not in known)


def _found_and_again(catalog: Catalog, config: WorkspaceConfig) -> tuple[set[str], set[str]]:
    """Read the urls of all files that were seen before, and of those to be read again although they did not change."""
    again = {
        url
        for url, status, reason in failures_under(catalog, INBOX_SCHEME)
        if status == "failed" or (reason == "too_large" and _fits(url, config))
    }
    return set(urls_found_by(catalog, SOURCE)), again


def _fits(url: str, config: WorkspaceConfig) -> bool:
    size = url.rpartition("?")[2].partition("-")[0]
    return size.isdecimal() and int(size) <= int(config.download.max_mb * 1e6)


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder whose files are all of one class.

    Attributes:
        root: the folder that messages name.
        name: of this one in it, with a slash at its end; empty where it is the root itself.
        label: the class, or `none`.
        address: what its urls begin with.
        settle_s: files that changed less than so long ago are left for the next run.
    """

    root: Path
    name: str
    label: str
    address: str
    settle_s: float

    @property
    def path(self) -> Path:
        return self.root / self.name


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a place, by its name in it."""

    place: _Place
    name: str
    url: str
    is_settled: bool


def _places(workspace: Workspace, config: WorkspaceConfig) -> tuple[list[_Place], tuple[str, ...]]:
    """List the folders of the inbox that match a class, and that of the negatives; also return notes on the others."""
    places, notes = _class_folders(workspace, config)
    if config.negatives.folder:
        folder = config.negatives.place
        try:
            os.scandir(folder).close()
        except OSError as error:
            raise WorkspaceError(
                f"negatives.folder = {config.negatives.folder!r} cannot be read: {error.strerror}; name a folder of "
                "pictures, or leave it empty"
            ) from error
        places.append(_Place(folder, "", NO_CLASS, NEGATIVES, 0.0))
    return places, notes


def _class_folders(workspace: Workspace, config: WorkspaceConfig) -> tuple[list[_Place], tuple[str, ...]]:
    if not workspace.inbox.is_dir():
        return [], ()
    names: dict[str, str] = {}
    by_name = [(label, label) for label in config.collected]  # before the keywords, which may be other classes' names
    for word, label in (*by_name, *((word, label) for label, words in config.collected.items() for word in words)):
        names.setdefault(name_key(word), label)
    places, unknown, loose = [], [], []
    for entry in _listed(workspace.inbox):
        if is_hidden(entry.name):
            continue
        if not entry.is_dir():
            loose.append(one_line(entry.name))
        elif name_key(entry.name) in names:
            name, label = f"{entry.name}/", names[name_key(entry.name)]
            address = f"{INBOX_SCHEME}{quote(name, errors='surrogateescape')}"
            places.append(_Place(workspace.inbox, name, label, address, config.retrain.settle_s))
        else:
            unknown.append(entry)
    notes = []
    if unknown:
        listed = ", ".join(one_line(entry.name) for entry in unknown)
        notes.append(
            f"{workspace.inbox} has folders that match no class: {listed}; the classes are "
            f"{', '.join(config.classes)}; left out: {counted(sum(map(_count, unknown)), 'file')}"
        )
    if loose:
        named = ", ".join(loose[:_NAMED]) + (f" and {len(loose) - _NAMED} more" if len(loose) > _NAMED else "")
        notes.append(
            f"{counted(len(loose), 'file')} in {workspace.inbox} itself: {named}; move each to the folder of its class"
        )
    return places, tuple(notes)


def _count(folder: Path) -> int:
    try:
        return len(list_files(folder, links_out=False).files)
    except OSError:
        return 0


def _files(places: Sequence[_Place]) -> tuple[list[_File], dict[Path, dict[str, str]]]:
    """List the files by name; also what is passed over, and why, by the root that messages name.

    Others may write to such a folder, so a link that leads out of it is not followed.
    """
    now_ns = time.time_ns()
    found: list[_File] = []
    passed_over: dict[Path, dict[str, str]] = {place.root: {} for place in places}
    for place in places:
        try:
            listing = list_files(place.path, links_out=False)
        except OSError as error:
            passed_over[place.root][place.name.rstrip("/")] = f"cannot be read: {error.strerror}"
            continue
        passed_over[place.root] |= {f"{place.name}{name}": why for name, why in listing.passed_over.items()}
        for file in listing.files:
            # A file that is being written is dated now. One dated in the future is not, whatever clock dated it; were
            # it after all, the next run would see another size, and read it again.
            is_settled = abs(now_ns - file.mtime_ns) >= place.settle_s * 1e9
            is_unfinished = file.name.casefold().endswith(_UNFINISHED)
            url = f"{place.address}{quote(file.name, errors='surrogateescape')}?{file.version}"
            found.append(_File(place, file.name, url, is_settled and not is_unfinished))
    return found, passed_over


def _hit(kept: KeptPictures, config: WorkspaceConfig, file: _File, rank: int) -> Hit:
    """Return the hit of a file; of a picture that `review` took from the service it says when and whence it came."""
    label, path = file.place.label, file.place.path / file.name
    title, page_url = as_text(path.stem), ""
    if served := kept.of_inbox_file(path):
        title, page_url = f"served {served.kept_at}", served.url
    keyword = next(iter(config.collected[label]), label)
    return Hit(label, keyword, SOURCE, rank, file.url, page_url, title, found_at=utc_now())


def _import(intake: Intake, file: _File) -> Download:
    try:
        data = read_capped(file.place.path / file.name, intake.max_bytes)
    except TransferFailed as error:
        return failed_row(file.url, error, utc_now())
    except OSError as error:
        return failed_row(file.url, TransferFailed("failed", "unreadable", str(error)), utc_now())
    place = place_url(file.place.root) if file.place.address == NEGATIVES else file.url
    return intake.take(Download(file.url, "ok", final_url=place, fetched_at=utc_now()), data)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise WorkspaceError(f"the inbox {folder} cannot be read: {error.strerror}; make it readable") from error
