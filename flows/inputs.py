"""Turn what a person names into an open workspace: its folder, keywords or own photographs, and settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectors.sources.local.layout import PhotoLayout, read_photo_layout
from workspace.catalog.funnel import more_of
from workspace.config.collect import ALL_PICTURES
from workspace.config.model import WorkspaceConfig, load_config
from workspace.errors import ConfigError, DatasetError, UsageError
from workspace.names import NO_CLASS, as_text, local_path, name_key
from workspace.resolve import class_line, folder_for, open_workspace, with_options, workspace_folder
from workspace.storage.paths import Workspace

_LOG = logging.getLogger("collect_and_train")


@dataclass(frozen=True, slots=True)
class Inputs:
    """An open workspace and its settings.

    Attributes:
        workspace: the folder.
        config: the settings.
        overrides: those that were given, by dotted name: for this run alone, unless the workspace was created.
        created: whether the workspace is new, and its workspace.toml holds the overrides.
        notes: what is left out of the photographs that the workspace was made from; `search` says it too.
    """

    workspace: Workspace
    config: WorkspaceConfig
    overrides: dict[str, Any]
    created: bool
    notes: tuple[str, ...] = ()


def open_inputs(
    workspace: str | Path = "",
    keywords: Sequence[str] = (),
    photos: str | Path = "",
    settings: Mapping[str, Any] | None = None,
    *,
    per_class: int | None = None,
    backbone: str | None = None,
    on_old: Callable[[str], None] | None = _LOG.warning,
) -> Inputs:
    """Open the workspace that a command or a flow works in; make it from keywords or own photographs when it is new.

    Args:
        workspace: its folder; empty: data/KEYWORDS, data/ and the name of the photographs' folder, or the only one
            under data/.
        keywords: one class each; empty: those of the photographs in a new workspace, else those of workspace.toml.
        photos: a folder, zip archive or table with own photographs of each class; empty: none. They are the only
            source, and all of them are wanted, unless settings or options say otherwise. Those named `none` are
            negatives.
        settings: by dotted name.
        per_class: clean pictures wanted per class; None: as in the settings.
        backbone: None: as in the settings.
        on_old: as in open_workspace.

    Raises:
        ConfigError: a setting is wrong, the photographs cannot be read, or have other classes than the workspace.
        WorkspaceError: the folder cannot be written.
    """
    options = with_options(settings, per_class=per_class, backbone=backbone)
    if not str(photos):
        _refuse_path(keywords)
        folder = workspace_folder(str(workspace or ""), keywords)
        created = not Workspace(folder).config_file.exists()
        return Inputs(*open_workspace(folder, keywords, options, on_old=on_old), options, created)
    path = local_path(photos).resolve()
    folder = local_path(workspace) if str(workspace) else folder_for(keywords or [path.stem])
    layout = read_photo_layout(path)
    file = Workspace(folder).config_file
    if file.exists():
        config = load_config(file, on_old=None)
        if config.search.folder.path != str(path):
            options = _photo_settings(path) | options
        if not keywords:
            _refuse_unread(layout, path, config, file)
        return Inputs(*open_workspace(folder, keywords, options, on_old=on_old), options, created=False)
    classes = [name for name in layout.classes if name_key(name) != NO_CLASS]
    options = _photo_settings(path) | _negatives_of(layout) | options
    _refuse_missing(layout, path, keywords or classes, options)
    if len(classes) == 1 and not keywords:
        _refuse_one_class(layout, path, classes[0])
    try:
        workspace_there, config = open_workspace(folder, keywords or classes, options, on_old=on_old)
    except ConfigError as error:
        if keywords or "\n  classes: " not in str(error):
            raise
        hint = f"\nThe classes are the names in {path}: rename them there, or name keywords too"
        raise ConfigError(f"{error}{hint}") from error
    words = [word for words in config.collected.values() for word in words]
    return Inputs(workspace_there, config, options, created=True, notes=layout.left_out(words))


def refuse_too_few(workspace: Workspace, config: WorkspaceConfig) -> None:
    """Raise DatasetError where a new workspace has too few own photographs, before any work is done with them.

    Raises:
        DatasetError: a class has fewer than `split.min_per_class`, and the photographs are the only source.
        ConfigError: they cannot be read.
    """
    if config.search.sources != ("folder",) or workspace.has_catalog() or workspace.inbox.is_dir():
        return
    layout, fewest = read_photo_layout(config.search.folder.place), config.split.min_per_class
    found = {label: sum(map(layout.count, words)) for label, words in config.classes.items()}
    if lines := [
        f"  {label!r} has {count}: {more_of(label, config, fewest - count)}"
        for label, count in found.items()
        if count < fewest
    ]:
        raise DatasetError(
            f"a class needs at least {fewest} pictures (split.min_per_class):\n" + "\n".join(lines) + "\nThen run again"
        )


def _refuse_path(keywords: Sequence[str]) -> None:
    """Raise UsageError where the only keyword is a folder or an archive of this machine."""
    if len(keywords) == 1 and Path(keywords[0]).exists():
        raise UsageError(f"{as_text(keywords[0])} is on this machine, and no keyword: name it with --photos")


def _photo_settings(path: Path) -> dict[str, Any]:
    return {"search.sources": ["folder"], "search.folder.path": str(path), "search.per_class": ALL_PICTURES}


def _negatives_of(layout: PhotoLayout) -> dict[str, Any]:
    """Take what is named `none` for pictures of none of the classes."""
    names = [name for name in layout.classes if name_key(name) == NO_CLASS]
    return {"negatives.keywords": names} if names else {}


def _refuse_unread(layout: PhotoLayout, path: Path, config: WorkspaceConfig, file: Path) -> None:
    """Raise ConfigError for classes of the photographs that no class of the workspace would read."""
    keywords = {name_key(word) for words in config.collected.values() for word in words}
    if unread := [name for name in layout.classes if name_key(name) not in keywords]:
        lines = "\n".join(
            f"  {class_line(name)}" if name_key(name) != NO_CLASS else f'  [negatives] keywords = ["{name}"]'
            for name in unread
        )
        raise ConfigError(
            f"{path} has pictures of {', '.join(unread)}, which are keywords of no class in {file}; add them to the "
            f"keywords of a class under [classes], or as classes of their own:\n{lines}"
        )


def _refuse_one_class(layout: PhotoLayout, path: Path, name: str) -> None:
    """Raise ConfigError: a classifier needs a second class."""
    what = "a second folder of pictures" if layout.is_by_folder else "rows with a second label"
    notes = "".join(f"\n{note}" for note in layout.left_out([name]))
    raise ConfigError(f"{path} has pictures of one class, {name!r}; a classifier needs at least 2: add {what}{notes}")


def _refuse_missing(layout: PhotoLayout, path: Path, keywords: Sequence[str], options: Mapping[str, Any]) -> None:
    """Raise ConfigError for keywords without a picture, where the photographs are the only source."""
    there = {name_key(name) for name in layout.classes}
    missing = [word for word in keywords if name_key(word) not in there]
    if missing and list(options["search.sources"]) == ["folder"]:
        raise ConfigError(
            f"{path} has no pictures of {', '.join(missing)}; it has {', '.join(layout.classes) or 'none at all'}"
        )
    if not layout.classes:
        notes = "".join(f"\n{note}" for note in layout.left_out(layout.folders))
        raise ConfigError(f"{path} has no picture in any of its folders: {', '.join(layout.folders)}{notes}")
