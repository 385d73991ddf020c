"""The page of `serve`: drop an image and see the answer; no image is stored.

An image is decoded in a process of its own, under the limits of the clean step, and one after the other: however many
are dropped at once, they take the memory of one.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from pages.files import new_app, render
from preprocessing.images.isolated_decode import decode_isolated
from training.inference.classifier import Classifier, decoding_limits
from workspace.config.clean import CleanConfig
from workspace.errors import ImageRefused, WorkspaceError

STATIC = ("page.css", "try_model.css", "try_model.js")

MAX_MB = 50.0
"""Largest file that is taken; the decoder has its own limit of pixels."""

_UPLOADS = 2  # files held in memory: one is decoded while the next one arrives; the others wait in their connections
_ARRIVAL_S = 60.0  # a file that does not arrive must not keep the others waiting


def try_app(
    classifier: Classifier,
    name: str,
    notes: tuple[str, ...] = (),
    max_mb: float = MAX_MB,
    clean: CleanConfig | None = None,
) -> FastAPI:
    """Build the page as an application; `pages.local_auth.serve_page` serves it.

    Args:
        classifier: called with one image at a time.
        name: what the page is called.
        notes: sentences shown beside every answer.
        max_mb: largest file, in millions of bytes.
        clean: what decoding a file may take; None: the defaults.
    """
    app = new_app(STATIC)
    one_at_a_time, uploads = threading.Lock(), asyncio.Semaphore(_UPLOADS)
    limits = decoding_limits(classifier, clean).model_copy(update={"workers": 1})

    @app.get("/")
    def page() -> HTMLResponse:
        calibrated = classifier.calibration is not None
        values = {"name": name, "classes": classifier.classes, "notes": notes, "calibrated": calibrated}
        return HTMLResponse(render("try_model.html.j2", max_mb=f"{max_mb:g}", **values))

    @app.post("/answer")
    async def answer(request: Request) -> dict[str, Any]:
        async with uploads:
            data = await _body(request, int(max_mb * 1e6), f"{max_mb:g} MB")
            return await run_in_threadpool(judge, data)

    def judge(data: bytes) -> dict[str, Any]:
        try:
            decoded = decode_isolated(data, limits)
        except ImageRefused as error:
            raise HTTPException(400, f"this file cannot be read as a picture: {error}") from error
        except WorkspaceError as error:
            raise HTTPException(503, str(error)) from error
        with one_at_a_time:
            found = classifier.answers([decoded.pixels])[0]
        return {
            "label": found.label,
            "answered": found.answered,
            "best": found.best,
            "probability": found.probability,
            "reason": found.why_none,
            "probabilities": sorted(found.probabilities.items(), key=lambda item: (-item[1], item[0])),
            "size": "; ".join(filter(None, (f"{decoded.width} × {decoded.height} px, {decoded.format}", decoded.note))),
        }

    return app


async def _body(request: Request, limit: int, words: str) -> bytes:
    """Read the body of a request, up to the limit."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(_ARRIVAL_S):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise HTTPException(413, f"this file is larger than {words}")
                parts.append(part)
    except TimeoutError as error:
        raise HTTPException(408, f"this file did not arrive within {_ARRIVAL_S:g} s") from error
    return b"".join(parts)
