"""The reference of the settings, from the models that read workspace.toml."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from workspace.config.model import WorkspaceConfig
from workspace.config.section import EXECUTION_ONLY, THIS_RUN_ONLY, Section

_INTRO = """\
# Settings

Every setting of `workspace.toml`, as its models in `workspace/config/` state it. `collect-and-train init` writes the
same as a commented file. `--set SECTION.KEY=VALUE`, and the options that stand for a setting such as `--backbone`, are
written into it by the command that creates the workspace; after that they count for one command only. ◦ says where
and how fast a model is computed, not which: the steps of one run may differ in it. ¹ belongs to one run, and is
written into no file.
"""

_NAMES = {bool: "true or false", int: "integer", float: "number", str: "text", type(None): "empty", SecretStr: "text"}
_LIMITS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_MARKS: tuple[tuple[Mapping[str, Any], str], ...] = ((EXECUTION_ONLY, " ◦"), (THIS_RUN_ONLY, " ¹"))


def settings_page() -> str:
    """Write every section with a table of its settings."""
    fields = WorkspaceConfig.model_fields
    plain = {name: field for name, field in fields.items() if _section(field) is None}
    parts = [_INTRO, *_table(plain)]
    for name, field in fields.items():
        if section := _section(field):
            parts += _section_parts(name, section)
    return "\n".join(parts) + "\n"


def _section_parts(name: str, section: type[Section]) -> list[str]:
    parts = ["", f"## [{name}]", "", _joined(section.__doc__), ""]
    parts += _table({key: field for key, field in section.model_fields.items() if _section(field) is None})
    for key, field in section.model_fields.items():
        if inner := _section(field):
            parts += _section_parts(f"{name}.{key}", inner)
    return parts


def _table(fields: Mapping[str, FieldInfo]) -> list[str]:
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"] if fields else []
    for key, field in fields.items():
        mark = next((mark for extra, mark in _MARKS if field.json_schema_extra == extra), "")
        default = "required" if field.is_required() else f"`{_toml(field.get_default(call_default_factory=True))}`"
        cells = [f"`{key}`{mark}", _values(field), default, _joined(field.description)]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows


def _section(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _values(field: FieldInfo) -> str:
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in _LIMITS.items()
        if isinstance(getattr(limit, name, None), int | float)
    ]
    return ", ".join([_kind(field.annotation), *limits])


def _kind(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in parts)
    if origin is Annotated:
        return _kind(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(part) for part in parts)
    if origin is tuple:
        return f"list of: {_kind(parts[0])}"
    if origin is dict:
        return f"table of: {_kind(parts[1])}"
    return _NAMES.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _joined(text: str | None) -> str:
    return " ".join((text or "").split())
