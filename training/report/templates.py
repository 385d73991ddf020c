"""Render the templates of this folder: one environment, with the filters that they share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from training.report.folder_names import without_folders
from workspace.text.markdown import escaped

_FOLDER = Path(__file__).parent


def render(template: str, variables: Mapping[str, Any]) -> str:
    """Render a template; what it puts into HTML or SVG is escaped.

    Args:
        template: a file name, such as `report.html.j2`.
        variables: all that it uses; a name that is missing is an error.
    """
    return _environment().get_template(template).render(variables)


def template_texts(*templates: str) -> list[str]:
    """Read templates as they are, for digests that change with them."""
    return [(_FOLDER / name).read_text(encoding="utf-8") for name in templates]


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=lambda name: name is not None and name.endswith((".html.j2", ".svg.j2")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "percent": _percent,
        "range": _range,
        "md": escaped,
        "of": _of,
        "names_only": without_folders,
        "yaml": _yaml,
    }
    return environment


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def _range(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f} %"


def _of(key: str, values: Mapping[str, Any]) -> Any:
    return values[key]


def _yaml(text: object) -> str:
    """A text as YAML, of which JSON's texts are a part."""
    return json.dumps(str(text), ensure_ascii=False)
