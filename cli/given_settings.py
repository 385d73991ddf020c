"""Say what becomes of the settings that a command was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workspace.config.model import WorkspaceConfig, load_config
from workspace.config.template import setting_words
from workspace.resolve import changing_settings
from workspace.storage.paths import Workspace
from workspace.terminal import say


def tell_given(workspace: Workspace, overrides: Mapping[str, Any], *, created: bool = False) -> None:
    """Say that settings were written into a new workspace.toml, or count for this command only and how to keep them.

    Args:
        workspace: is open.
        overrides: what was given, by dotted name; what workspace.toml says already is not worth a line.
        created: whether this command has made the workspace.
    """
    if not overrides:
        return
    written = load_config(workspace.config_file)
    before = WorkspaceConfig(classes=written.classes) if created else written
    names = changing_settings(before, overrides)
    if not names:
        return
    if created:
        say(f"Written into {workspace.config_file}: {', '.join(names)}.")
    else:
        given, them = ", ".join(setting_words(names)), "it" if len(names) == 1 else "them"
        say(f"For this command only: {given}. To keep {them}, write {them} into {workspace.config_file}.")
