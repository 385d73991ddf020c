"""The reference of the JSON documents, from their models."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cli.documents.base import Failure
from cli.documents.registry import DOCUMENTS

_INTRO = """\
# JSON documents

With `--json` a command prints one JSON document on standard output and nothing else there; progress and warnings
stay on standard error (`-q` leaves progress out). Exit codes are the same as without. Keys stay from version to
version; new ones may be added. `predict --json` prints JSON Lines: a document for each picture, one a line, as it
goes. A failure is one line with every command.

```sh
collect-and-train status -w data/pandas --json | jq '.last_run.scores.test.accuracy.value'
```

Commands that serve a page until Ctrl-C (`serve`, `review`, `gallery`, `up`) have no document.
"""


def json_page() -> str:
    """Write the document of each command with its keys, and the parts that several of them have."""
    commands: dict[type[BaseModel], list[str]] = {}
    model: type[BaseModel]
    for name, model in DOCUMENTS.items():
        commands.setdefault(model, []).append(f"`{name}`")
    tops: list[type[BaseModel]] = [*commands, Failure]
    parts = [_INTRO]
    for model in tops:
        title = ", ".join(commands.get(model, ["When a command fails"]))
        parts += [f"## {title}", "", *_table(model)]
    shared = [model for model in _parts_of(tops) if model not in tops]
    for model in shared:
        parts += [f"## {model.__name__}", "", *_table(model)]
    return "\n".join(parts)


def _table(model: type[BaseModel]) -> list[str]:
    rows = [f"| `{name}` | {_type(field.annotation)} | {_cell(field)} |" for name, field in model.model_fields.items()]
    summary = (model.__doc__ or "").partition("\n")[0]
    return [summary, "", "| key | type | meaning |", "|---|---|---|", *rows, ""]


def _cell(field: FieldInfo) -> str:
    text = (field.description or "").replace("|", "\\|")
    return text if field.is_required() else f"{text} May be absent.".strip()


def _type(annotation: Any) -> str:
    """Say a type in the words of JSON."""
    arguments, origin = typing.get_args(annotation), typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin in (dict, Mapping):
        return f"object: {_type(arguments[1])} by name"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (
            f"[{annotation.__name__}](#{annotation.__name__.lower()})"
            if annotation not in DOCUMENTS.values()
            else "object"
        )
    words = {str: "string", int: "integer", float: "number", bool: "true or false", type(None): "null", Any: "any"}
    return words[annotation]


def _parts_of(models: list[type[BaseModel]]) -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {}

    def look(annotation: Any) -> None:
        for argument in typing.get_args(annotation):
            look(argument)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in found:
            found[annotation] = None
            for field in annotation.model_fields.values():
                look(field.annotation)

    for model in models:
        look(model)
    return list(found)
