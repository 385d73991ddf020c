"""The application of the service: its paths, what each takes and answers, and the page that describes them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.security import HTTPBearer
from starlette.responses import Response
from starlette.types import ASGIApp

from pages.api import schema as described
from pages.api.bodies import pictures_of, within
from pages.api.gate import CLASSIFY, Gate
from pages.api.metrics import CONTENT_TYPE
from pages.api.refusals import Refused, try_again
from pages.api.schema import Answers, Health, Refusal, answers_json
from pages.api.service import Service
from pages.files import add_static, render
from workspace.errors import ModelError, WorkspaceError
from workspace.text.invalid_values import words_of

STATIC = ("page.css", "api_docs.css")

_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": words, "content": {"application/json": {"example": example}}}
    for status, (words, example) in described.REFUSALS.items()
}


def api_app(service: Service, token: str = "") -> ASGIApp:
    """Build the service as an ASGI application.

    Args:
        service: answers; it runs as long as the application does.
        token: that each request must bring, but for those that ask whether it is up; empty: none, and then it answers
            to names of loopback alone.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="collect-and-train",
        version="1",
        description=described.ABOUT,
        docs_url=None,  # its page would load scripts from another site
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[
            Security(HTTPBearer(auto_error=False, description="The token of the service, where it has one."))
        ],
    )
    add_static(app, STATIC)
    _add_classify(app, service)
    _add_state(app, service)
    _add_docs(app)

    @app.exception_handler(RequestValidationError)
    def bad_parameter(_request: Request, error: RequestValidationError) -> JSONResponse:
        service.metrics.refusals.labels("bad_parameter").inc()
        problems = (f"{problem['loc'][-1]}: {words_of(problem)}" for problem in error.errors())
        return Refused(422, "bad_parameter", "; ".join(problems)).response()

    @app.exception_handler(Refused)
    def refused(_request: Request, refusal: Refused) -> JSONResponse:
        service.metrics.refusals.labels(refusal.reason).inc()
        return refusal.response()

    return Gate(app, token, service.load, service.metrics)


def _add_classify(app: FastAPI, service: Service) -> None:
    @app.post(
        CLASSIFY,
        summary="Classify pictures",
        response_model=Answers,
        responses=described.ANSWERS | _REFUSALS,
        openapi_extra=described.CLASSIFY,
    )
    async def classify(
        request: Request,
        all: Annotated[bool, Query(description="Also give the probability of every class.")] = False,  # noqa: A002
        accept: Annotated[
            float | None,
            Query(gt=0, le=1, description="Share of in-class pictures that is to get a class; the rest is `none`."),
        ] = None,
    ) -> JSONResponse:
        """Send one picture as the body, several as files of a form, or addresses as JSON.

        The answers come in the order of the pictures. One that cannot be read has an `error` and costs no other its
        answer; the status is 422 where none could be read.
        """
        seconds = service.limits.timeout_s
        late = try_again("timeout", f"not answered within {seconds:g} s (serve.timeout_s); send fewer pictures")
        async with pictures_of(request, service.budget) as sent, within(seconds, late):
            try:
                model, found = await service.classify(sent, accept)
            except ModelError as error:
                raise Refused(422, "no_such_limits", str(error)) from error
            except WorkspaceError as error:
                raise try_again("no_decoder", str(error), 10) from error
        status = 200 if any(one.answer for one in found) else 422
        return JSONResponse(answers_json(model.run_id, found, with_all=all), status)


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health/live", summary="Is the process up?", responses=described.LIVE)
    async def live() -> dict[str, str]:
        """Answer 200 as long as the process answers at all."""
        return {"status": "live"}

    @app.get("/health/ready", summary="Does it answer pictures?", response_model=Health, responses=described.HEALTH)
    @app.get("/health", include_in_schema=False)
    async def ready() -> JSONResponse:
        """Name the model that answers; 503 while as many requests are at work as may be.

        `problem` says why a newer model could not be loaded: the present one goes on answering.
        """
        load, current = service.load, service.live.current
        busy = load.at_work >= load.most
        values = {"status": "busy" if busy else "ready", "model": current.run_id, "problem": service.live.problem}
        more = {"notes": list(current.notes), "classes": list(current.classifier.classes)}
        return JSONResponse(values | more, 503 if busy else 200)

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response, responses=described.METRICS)
    def metrics() -> Response:
        """Requests, seconds, refusals by reason, classes, queue, drift: in Prometheus's text format."""
        current = service.live.current
        text = service.metrics.text(current.run_id, service.log.size(current), service.log.drift(current))
        return Response(text, media_type=CONTENT_TYPE)


def _add_docs(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        schema = app.openapi()
        operations = [
            {"path": path, "method": method.upper(), **operation, "examples": _examples_of(operation)}
            for path, methods in schema["paths"].items()
            for method, operation in methods.items()
        ]
        return HTMLResponse(render("api_docs.html.j2", info=schema["info"], operations=operations))


def _examples_of(operation: dict[str, Any]) -> list[tuple[str, str, str]]:
    """List (status, words, example as JSON) of an operation's answers."""
    return [
        (
            status,
            response.get("description", ""),
            json.dumps(example, indent=2, ensure_ascii=False) if (example := _example(response)) else "",
        )
        for status, response in operation["responses"].items()
    ]


def _example(response: dict[str, Any]) -> Any:
    return response.get("content", {}).get("application/json", {}).get("example")
