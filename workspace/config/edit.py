"""Change one thing in the text of a workspace.toml, comments and all else untouched."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

from workspace.config.model import parse_config
from workspace.errors import ConfigError
from workspace.names import normalised_name

_ENTRY = re.compile(r"""^(?P<before>\s*)(?P<key>"(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+)(?P<after>\s*=.*)$""", re.DOTALL)


def with_renamed_class(text: str, origin: str, old: str, new: str) -> str:
    """Return the text with another name for one of its classes; the keywords stay as they are.

    Args:
        text: of a workspace.toml.
        origin: where it came from, for the error's text.
        old: the class as it is called now.
        new: its new name.

    Raises:
        ConfigError: the new name is taken or not allowed, or the class has no line of its own in the text.
    """
    classes = parse_config(text, origin).classes
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        entry = _ENTRY.match(line)
        if entry is None or _key(entry["key"]) != old:
            continue
        key = json.dumps(new, ensure_ascii=False)
        edited = "".join((*lines[:number], f"{entry['before']}{key}{entry['after']}", *lines[number + 1 :]))
        wanted = {normalised_name(new) if label == old else label: words for label, words in classes.items()}
        if parse_config(edited, origin).classes == wanted:  # else it was the line of a setting with the same name
            return edited
    raise ConfigError(f"{origin} has no line of its own for the class {old!r}; rename it there by hand")


def with_settings(text: str, origin: str, section: str, values: Mapping[str, str]) -> str:
    """Return the text with other values for settings of a section, which is added at the end where there is none.

    Args:
        text: of a workspace.toml.
        origin: where it came from, for the error's text.
        section: name of a table.
        values: texts, by the names of their settings.

    Raises:
        ConfigError: the text has the section in a form that has no line of its own for a setting.
    """
    lines = text.splitlines(keepends=True)
    heads = [number for number, line in enumerate(lines) if re.match(rf"\s*\[\s*{section}\s*\]", line)]
    if not heads:
        lines += ["" if not lines or lines[-1].endswith("\n") else "\n", f"\n[{section}]\n"]
        heads = [len(lines) - 1]
    for key, value in values.items():
        line = f"{key} = {json.dumps(value)}\n"
        inside = range(
            heads[0] + 1, next((n for n in range(heads[0] + 1, len(lines)) if lines[n].lstrip()[:1] == "["), len(lines))
        )
        old = [number for number in inside if re.match(rf"\s*{key}\s*=", lines[number])]
        if old:
            lines[old[0]] = line
        else:
            lines.insert(heads[0] + 1, line)
    edited = "".join(lines)
    before = tomllib.loads(text)
    before[section] = {**before.get(section, {}), **values}
    try:
        if tomllib.loads(edited) == before:
            return edited
    except tomllib.TOMLDecodeError:
        pass
    wanted = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    raise ConfigError(f"{origin} has no [{section}] that can be edited; write there by hand: {wanted}, and go on")


def _key(quoted: str) -> str:
    try:
        return normalised_name(next(iter(tomllib.loads(f"{quoted} = 0"))))
    except tomllib.TOMLDecodeError:
        return ""
