"""Resolve command-line arguments and flow parameters to a workspace and its settings."""

from __future__ import annotations

import logging
import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workspace.config.model import COMMAND_LINE, WorkspaceConfig, load_config, parse_config
from workspace.config.template import EXAMPLE_CLASSES, HEADER, render_config
from workspace.errors import ConfigError, UsageError
from workspace.files.atomic import write_atomic
from workspace.names import local_path, name_key
from workspace.storage.paths import Workspace

_CREDENTIALS = "search.credentials"
_LOG = logging.getLogger("collect_and_train")


def open_workspace(
    folder: Path,
    keywords: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    *,
    on_old: Callable[[str], None] | None = _LOG.warning,
) -> tuple[Workspace, WorkspaceConfig]:
    """Open the workspace in this folder and read its settings; make it from the keywords when it is new.

    Args:
        folder: the workspace.
        keywords: one class each; empty: those of workspace.toml.
        overrides: settings by dotted name. They are written into a new workspace.toml, and count for this run
            alone when there is one.
        on_old: is told which settings of workspace.toml have old names; None where a later reader tells.

    Raises:
        ConfigError: workspace.toml is missing, wrong, or has other classes than the keywords.
        UsageError: a keyword, or a setting that was given, is wrong.
        WorkspaceError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     workspace, config = open_workspace(Path(folder), ["red panda", "raccoon"], {"search.per_class": 50})
        >>> config.classes
        {'red panda': ('red panda',), 'raccoon': ('raccoon',)}
    """
    _refuse_keys(overrides or {})
    workspace = Workspace(folder)
    if not keywords or workspace.config_file.exists():
        config = load_config(workspace.config_file, overrides, on_old=on_old)
        _refuse_another_place(workspace, config)
        _ = workspace.files  # a place that cannot be reached, or is another's, shows before work begins
        wanted = {name_key(word) for word in keywords}
        if wanted and wanted != {name_key(label) for label in config.classes}:
            raise ConfigError(
                f"{workspace.config_file} has the classes {', '.join(config.classes)}, not {', '.join(keywords)}; "
                "edit its [classes], or name another folder with --workspace"
            )
        return workspace, config
    if len(set(keywords)) == 1 and len(keywords) > 1:
        raise UsageError(f"a classifier needs at least 2 classes; all keywords are {keywords[0]!r}: name another one")
    text = "[classes]\n" + "\n".join(class_line(word) for word in dict.fromkeys(keywords))
    config = parse_config(text, COMMAND_LINE, overrides)
    _ = Workspace(folder, config.storage).checked_files
    write_atomic(workspace.config_file, _new_file(workspace, config))
    return workspace, config


def _new_file(workspace: Workspace, config: WorkspaceConfig) -> bytes:
    following = workspace.command("run").encode(errors="backslashreplace").decode()  # a folder may not be UTF-8
    return render_config(config, header=f"{HEADER}# Next: {following}\n").encode()


def changing_settings(written: WorkspaceConfig, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the overrides that change what a workspace.toml with these settings says.

    What belongs to one run, such as network.record, is written into no file, and is not among them.
    """
    text = render_config(written)
    return {
        name: value
        for name, value in overrides.items()
        if render_config(parse_config(text, COMMAND_LINE, {name: value})) != text
    }


def write_example(folder: Path, settings: Mapping[str, Any] | None = None) -> Path:
    """Write a commented workspace.toml with every setting, for the user to edit.

    Args:
        folder: of the workspace.
        settings: those that differ from their defaults, by dotted name.

    Raises:
        ConfigError: there is one already, or a setting is wrong.
        WorkspaceError: the folder cannot be written.
    """
    workspace = Workspace(folder)
    refuse_existing(workspace)
    example = render_config(WorkspaceConfig(classes=dict(EXAMPLE_CLASSES)))
    config = parse_config(example, COMMAND_LINE, settings)
    write_atomic(workspace.config_file, _new_file(workspace, config))
    return workspace.config_file


def refuse_existing(workspace: Workspace) -> None:
    """Raise ConfigError where there is a workspace.toml already."""
    if workspace.config_file.exists():
        raise ConfigError(f"{workspace.config_file} exists already; edit it, or name another folder with --workspace")


def folder_for(keywords: Sequence[str]) -> Path:
    """Derive the default folder from the keywords: data/red-panda-raccoon."""
    words = re.sub(r"[^\w]+", "-", unicodedata.normalize("NFC", " ".join(keywords)).casefold()).strip("-")
    return Path("data") / (words[:60].rstrip("-") or "workspace")


def workspace_folder(workspace: str, keywords: Sequence[str] = ()) -> Path:
    """Choose the folder of a flow: the named one, else one derived from the keywords, else the only one under data/.

    Raises:
        ConfigError: nothing was named, and data/ does not have exactly one workspace; lists what it has.
    """
    if workspace or keywords:
        return local_path(workspace) if workspace else folder_for(keywords)
    folders = workspaces_under(Path("data"))
    if len(folders) == 1:
        return folders[0]
    found = f"data/ has {', '.join(path.name for path in folders)}" if folders else "data/ has no workspace yet"
    raise ConfigError(
        f"which workspace? {found}; name one with the parameter workspace, for example workspace=data/pandas, "
        "together with keywords when it is new"
    )


def workspaces_under(folder: Path) -> list[Path]:
    """List the workspaces in a folder, by name."""
    return sorted(file.parent for file in folder.glob("*/workspace.toml"))


def run_title(parameters: Mapping[str, Any]) -> str:
    """Derive the title of a flow run from its parameters: the workspace folder's name, `data` when none is named."""
    if parameters["workspace"]:
        return Path(parameters["workspace"]).name or "data"
    photos = Path(parameters.get("photos") or "data").stem
    return folder_for(parameters.get("keywords") or [photos]).name


def with_options(
    settings: Mapping[str, Any] | None,
    *,
    per_class: int | None = None,
    backbone: str | None = None,
    negatives: Path | None = None,
) -> dict[str, Any]:
    """Merge settings that have an option of their own into those of --set; None leaves a setting as it is."""
    folder = None if negatives is None else str(local_path(negatives).resolve())
    options = {"search.per_class": per_class, "train.backbone": backbone, "negatives.folder": folder}
    return dict(settings or {}) | {name: value for name, value in options.items() if value is not None}


def parse_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Parse `section.key=value` arguments; values as in TOML, bare words as strings.

    Raises:
        UsageError: a word has no `=` or no name.
    """
    overrides: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {setting!r}: write it as section.key=value, for example train.epochs=20")
        try:
            overrides[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[name.strip()] = value
    return overrides


def _refuse_keys(overrides: Mapping[str, Any]) -> None:
    """Reject API keys as settings: the process list shows them, and Prefect stores them among the parameters."""
    if any(name == _CREDENTIALS or name.startswith(f"{_CREDENTIALS}.") for name in overrides):
        raise UsageError(
            f"{_CREDENTIALS} is not taken from --set or a flow's settings, which others can read: set the key as an "
            "environment variable of its name (for a deployment, in the worker's environment); "
            "`collect-and-train sources` shows the names"
        )


def _refuse_another_place(workspace: Workspace, config: WorkspaceConfig) -> None:
    """Reject other places for this run alone: what is stored stays where it is, and would not be found."""
    if config.storage != workspace.storage:
        raise UsageError(
            f"storage.files and storage.catalog say where every command finds what was collected, and are not set for "
            f"one run; to move it: {workspace.command('move')} --catalog NAME, or --to s3://BUCKET/PREFIX"
        )


def class_line(keyword: str) -> str:
    """Write the line of a class under [classes] that has its name as its only keyword."""
    quoted = '"' + keyword.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{quoted} = [{quoted}]"
