"""The page of the pictures that a service has kept: one click puts one into a class, for the next training."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from PIL import Image
from pydantic import BaseModel, Field
from starlette.responses import Response

from pages.files import render
from preprocessing.images.isolated_decode import decode_isolated
from workspace.config.model import WorkspaceConfig
from workspace.digest import SHA256, is_sha256
from workspace.errors import ImageRefused
from workspace.licenses import web_address
from workspace.served.kept import KeptPicture, KeptPictures
from workspace.storage.paths import Workspace
from workspace.storage.run import next_run

STATIC = ("unlabelled.css", "unlabelled.js")

_QUALITY = 82
_REMEMBERED = 64  # pictures, encoded
_MOST = 200  # pictures on one page; the others come when these are decided on


class _Decision(BaseModel):
    sha256: Annotated[str, Field(pattern=f"^{SHA256}$")]
    label: str


def add_unlabelled(app: FastAPI, workspace: Workspace, config: WorkspaceConfig) -> None:
    """Add the page, its pictures and its decisions to the application of `review`.

    Args:
        app: the application.
        workspace: whose kept pictures.
        config: its classes, and what decoding a file may take.
    """
    kept = KeptPictures(workspace)

    @lru_cache(_REMEMBERED)
    def encoded(sha256: str) -> bytes | None:
        """A JPEG; None where its bytes cannot be decoded, which is so for ever. A missing file is not remembered."""
        data = kept.read(sha256)
        if data is None:
            raise _nothing()
        try:
            pixels = decode_isolated(data, config.clean).pixels
        except ImageRefused:
            return None
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=_QUALITY)
        return out.getvalue()

    @app.get("/unlabelled")
    def page() -> HTMLResponse:
        values = {"name": workspace.root.resolve().name, "classes": tuple(config.classes)}
        return HTMLResponse(render("unlabelled.html.j2", next_command=next_run(workspace), **values))

    @app.get("/api/unlabelled")
    def pictures() -> dict[str, Any]:
        waiting = kept.undecided()
        return {"waiting": len(waiting), "pictures": [_item(record) for record in waiting[:_MOST]]}

    @app.get("/unlabelled/{sha256}.jpg")
    def jpeg(sha256: str) -> Response:
        # Asked each time: what was withdrawn, or decided on, is shown no more.
        data = encoded(sha256) if is_sha256(sha256) and kept.is_undecided(sha256) else None
        if data is None:
            raise _nothing()
        return Response(data, media_type="image/jpeg")

    @app.post("/api/unlabelled")
    def decide(decision: _Decision) -> dict[str, Any]:
        if decision.label and decision.label not in config.classes:
            raise HTTPException(422, f"there is no class {decision.label!r}")
        done = kept.put_into(decision.sha256, decision.label) if decision.label else kept.take_out(decision.sha256)
        return {"done": done, "waiting": len(kept.undecided())}


def _nothing() -> HTTPException:
    return HTTPException(404, "there is no picture to show")


def _item(record: KeptPicture) -> dict[str, Any]:
    return {
        "sha256": record.sha256,
        "kept_at": record.kept_at,
        "best": record.best,
        "probability": record.probability,
        "none": record.none,
        "url": web_address(record.url),
    }
