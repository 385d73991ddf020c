"""Settings as commented TOML: a new workspace.toml, and the frozen config.toml of a run."""

from __future__ import annotations

import json
import shlex
import textwrap
import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from workspace.config.model import WorkspaceConfig
from workspace.config.section import THIS_RUN_ONLY, Section

EXAMPLE_CLASSES = {"red panda": ("red panda",), "고양이": ("고양이", "tabby cat")}

HEADER = """\
# Settings of this workspace. Every setting is listed with its default; delete those that you do not change.
"""


def render_config(config: WorkspaceConfig, *, header: str = HEADER) -> str:
    """Write the settings as TOML that reads back equal, each with its description as a comment.

    Those that belong to one run (THIS_RUN_ONLY) are written with their default.
    """
    fields = WorkspaceConfig.model_fields
    parts = [header, *_setting("seed", config.seed, fields["seed"]), ""]
    parts += ["[classes]", *_comment(fields["classes"].description)]
    parts += [f"{_toml(label)} = {_toml(words)}" for label, words in config.classes.items()]
    for name in fields:
        section = getattr(config, name)
        if isinstance(section, Section):
            parts += _table(name, section)
    return "\n".join(parts) + "\n"


def set_options(values: Mapping[str, Any]) -> str:
    """Write settings as options of a command, each after a space: ` --set train.epochs=20`, quoted for a shell."""
    return "".join(f" --set {shlex.quote(word)}" for word in setting_words(values))


def setting_words(values: Mapping[str, Any]) -> list[str]:
    """Write settings as --set takes them: `train.epochs=20`."""
    return [f"{name}={_word(value)}" for name, value in values.items()]


def _word(value: Any) -> str:
    """Write a value as --set reads it back: a string as it is, unless it would be read as something else."""
    if not isinstance(value, str):
        return _toml(tuple(value) if isinstance(value, list) else value)
    try:
        return _toml(value) if tomllib.loads(f"value = {value}") else value
    except tomllib.TOMLDecodeError:
        return value


def _table(name: str, section: Section) -> list[str]:
    parts, tables = ["", f"[{name}]", *_comment(type(section).__doc__), ""], []
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if isinstance(value, Section):  # after the values: TOML counts what follows a table's name as its own
            tables += _table(f"{name}.{key}", value)
        else:
            parts += _setting(key, value, field)
    for key, value in (section.model_extra or {}).items():
        tables += _table(f"{name}.{key}", value)
    return parts + tables


def _setting(key: str, value: Any, field: FieldInfo) -> list[str]:
    if field.json_schema_extra == THIS_RUN_ONLY:
        value = field.get_default()
    return [*_comment(field.description), f"{key} = {_toml(value)}"]


def _comment(text: str | None) -> list[str]:
    return textwrap.wrap(" ".join((text or "").split()), width=110, initial_indent="# ", subsequent_indent="# ")


def _toml(value: Any) -> str:
    # A JSON string, number, boolean or list is valid TOML; control characters are escaped by both in the same way.
    if isinstance(value, Mapping):  # secrets stay out of every file that we write
        shown = {key: entry for key, entry in value.items() if not isinstance(entry, SecretStr)}
        return "{" + ", ".join(f"{_toml(key)} = {_toml(entry)}" for key, entry in shown.items()) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
