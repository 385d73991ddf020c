"""Render templates, with every value escaped, and serve the scripts and styles of this package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2
from fastapi import FastAPI, HTTPException
from starlette.responses import Response

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_FOLDER = Path(__file__).parent
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER),
    autoescape=True,  # whatever a title holds, it is text
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def new_app(static: Sequence[str]) -> FastAPI:
    """Make an application without documentation pages that serves these files of the package under /static/.

    Args:
        static: names of .css and .js files in pages/.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_static(app, static)
    return app


def add_static(app: FastAPI, static: Sequence[str]) -> None:
    """Serve these files of the package under /static/: names of .css and .js files in pages/."""
    allowed = frozenset(static)

    @app.get("/static/{name}", include_in_schema=False)
    def static_file(name: str) -> Response:
        if name not in allowed:
            raise HTTPException(404, "there is no such file")
        suffix = name[name.rindex(".") :]
        # Asked again each time: the program may have been updated since.
        return Response(_read(name), media_type=_TYPES[suffix], headers={"cache-control": "no-cache"})


def render(template: str, **values: object) -> str:
    """Fill a template of this package; every value is escaped, and a missing one is an error."""
    return _TEMPLATES.get_template(template).render(**values)


def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
