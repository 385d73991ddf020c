"""Import the images that a user puts into `inbox/<class>/` of the workspace, as the source `inbox`.

Files are copied into images/ and stay where they are. A url such as `inbox:red%20panda/1.jpg?5120-17600000` holds
size and modification time, so that a file is read once, and again only after it was replaced.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from collectors.intake import INBOX_SCHEME, Intake, failed_row
from collectors.sources.local.folder import read_capped
from workspace.catalog.failures import lost_urls
from workspace.catalog.records import Download, Hit, StepCounts
from workspace.clock import utc_now
from workspace.config.model import WorkspaceConfig
from workspace.errors import TransferFailed, WorkspaceError
from workspace.image_files import is_hidden, list_files, passed_over_note
from workspace.names import as_text, name_key
from workspace.progress import SILENT, Progress
from workspace.reasons import in_order, words_for
from workspace.served.kept import KeptPictures
from workspace.storage.image_store import ImageStore, record_lost_files
from workspace.storage.paths import Workspace
from workspace.storage.withdrawal import withdrawn_files

SOURCE = "inbox"
_BATCH = 32  # files per commit
_UNFINISHED = (".part", ".crdownload", ".download", ".tmp", ".filepart")


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Import every new or replaced file of the inbox; each becomes a row of downloads, with a reason where it fails.

    A file that changed less than `retrain.settle_s` ago, or that is named like an unfinished download, is left for the
    next run. Folders are matched to classes by name or by one of the class's keywords.

    Raises:
        WorkspaceError: the inbox cannot be read, or the workspace cannot be written.
    """
    folders, notes = _class_folders(workspace, config)
    with workspace.open_catalog() as catalog:
        hits = [hit for hit in catalog.all(Hit) if hit.source == SOURCE]
        record_lost_files(workspace, catalog)
        known = {hit.image_url for hit in hits}.difference(lost_urls(catalog, config.classes))
        rank = len(hits)
        unsettled, new = 0, []
        files, passed_over = _files(folders, config.retrain.settle_s)
        for label, file, url, settled in files:
            if url in known:
                continue
            if settled:
                new.append((label, file, url))
            else:
                unsettled += 1
        progress.begin("Importing the inbox", len(new))
        intake = Intake(
            ImageStore(workspace), withdrawn_files(catalog), max_bytes=int(config.download.max_mb * 1e6), durable=True
        )
        kept = KeptPictures(workspace)
        for start in range(0, len(new), _BATCH):
            batch = new[start : start + _BATCH]
            rows = [_import(intake, file, url) for _, file, url in batch]
            catalog.put(rows)  # before the hits, which mark the files as imported
            for (_, file, _), row in zip(batch, rows, strict=True):
                if row.status != "ok":
                    passed_over[file.relative_to(workspace.inbox).as_posix()] = words_for(row.reason)
            catalog.add_new(
                [
                    _hit(kept, config, label, file, url, rank + start + index)
                    for index, (label, file, url) in enumerate(batch)
                ]
            )
            progress.advance(len(batch))
        imported = [row for row in catalog.all(Download) if row.image_url.startswith(INBOX_SCHEME)]
    reasons = Counter("taken in" if row.status == "ok" else f"{row.status}: {row.reason}" for row in imported)
    reasons |= Counter({"still being written": unsettled} if unsettled else {})
    note = passed_over_note(str(workspace.inbox), passed_over)
    notes = (*notes, note) if note else notes
    for note in notes:
        progress.warn(note)
    return StepCounts("inbox", len(new), len(known), in_order(reasons), notes=notes)


def _class_folders(workspace: Workspace, config: WorkspaceConfig) -> tuple[dict[Path, str], tuple[str, ...]]:
    """Map each folder of the inbox to its class; also return notes on the others."""
    if not workspace.inbox.is_dir():
        return {}, ()
    names: dict[str, str] = {}
    by_name = [(label, label) for label in config.classes]  # before the keywords, which may be other classes' names
    for word, label in (*by_name, *((word, label) for label, words in config.classes.items() for word in words)):
        names.setdefault(name_key(word), label)
    folders, unknown, loose_files = {}, [], 0
    for entry in _listed(workspace.inbox):
        if is_hidden(entry.name):
            continue
        if not entry.is_dir():
            loose_files += 1
        elif name_key(entry.name) in names:
            folders[entry] = names[name_key(entry.name)]
        else:
            unknown.append(as_text(entry.name))
    notes = []
    if unknown:
        notes.append(
            f"{workspace.inbox} has folders that match no class: {', '.join(unknown)}; the classes are "
            f"{', '.join(config.classes)}"
        )
    if loose_files:
        notes.append(f"{loose_files} files lie in {workspace.inbox} itself; move each to the folder of its class")
    return folders, tuple(notes)


def _files(folders: Mapping[Path, str], settle_s: float) -> tuple[list[tuple[str, Path, str, bool]], dict[str, str]]:
    """List (label, file, url, whether it is unchanged for long enough) by name; also what is passed over, and why.

    Others may write to an inbox, so a link that leads out of a class's folder is not followed.
    """
    now_ns = time.time_ns()
    found, passed_over = [], {}
    for folder, label in folders.items():
        try:
            listing = list_files(folder, links_out=False)
        except OSError as error:
            passed_over[folder.name] = f"cannot be read: {error.strerror}"
            continue
        passed_over |= {f"{folder.name}/{name}": why for name, why in listing.passed_over.items()}
        for file in listing.files:
            # A file that is being written is dated now. One dated in the future is not, whatever clock dated it; were
            # it after all, the next run would see another size, and read it again.
            is_settled = abs(now_ns - file.mtime_ns) >= settle_s * 1e9
            is_unfinished = file.name.casefold().endswith(_UNFINISHED)
            name = quote(f"{folder.name}/{file.name}", errors="surrogateescape")
            url = f"{INBOX_SCHEME}{name}?{file.version}"
            found.append((label, folder / file.name, url, is_settled and not is_unfinished))
    return found, passed_over


def _hit(kept: KeptPictures, config: WorkspaceConfig, label: str, file: Path, url: str, rank: int) -> Hit:
    """Return the hit of a file; of a picture that `review` took from the service it says when and whence it came."""
    title, page_url = as_text(file.stem), ""
    if served := kept.of_inbox_file(file):
        title, page_url = f"served {served.kept_at}", served.url
    keyword = config.classes[label][0]
    return Hit(label, keyword, SOURCE, rank, url, page_url, title, found_at=utc_now())


def _import(intake: Intake, file: Path, url: str) -> Download:
    try:
        data = read_capped(file, intake.max_bytes)
    except TransferFailed as error:
        return failed_row(url, error, utc_now())
    except OSError as error:
        return failed_row(url, TransferFailed("failed", "unreadable", str(error)), utc_now())
    return intake.take(Download(url, "ok", final_url=url, fetched_at=utc_now()), data)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise WorkspaceError(f"the inbox {folder} cannot be read: {error.strerror}; make it readable") from error
