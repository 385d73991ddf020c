"""The JSON of the service's answers, and the words and examples of its description (OpenAPI)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from pages.api.service import Answered


class Refusal(BaseModel):
    """Why a request, or one of its pictures, has no answer."""

    reason: str = Field(description="One word, for programs.")
    detail: str = Field(description="A sentence that names the limit and the remedy.")


class AnswerJson(BaseModel):
    """What became of one picture."""

    picture: str = Field(description="Its file name or address; empty for a picture that was the body.")
    answered: bool = Field(description="Whether one of the classes is the answer.")
    label: str | None = Field(None, description="The class, or `none`; absent where the picture could not be read.")
    probability: float | None = Field(None, description="Of `best`, calibrated where the model is.")
    best: str | None = Field(None, description="The most probable class.")
    reason: str | None = Field(None, description="Why the answer is none of the classes.")
    distance: float | None = Field(None, description="Cosine distance to the training pictures.")
    note: str | None = Field(None, description="What was assumed to read it.")
    probabilities: dict[str, float] | None = Field(None, description="Of every class, with `all=true`.")
    error: Refusal | None = Field(None, description="Why it could not be read.")


class Answers(BaseModel):
    """The answers to a request."""

    model: str = Field(description="The run whose model answered.")
    answers: list[AnswerJson] = Field(description="In the order of the pictures.")


class Health(BaseModel):
    """Whether the service answers, and with which model."""

    status: str = Field(description="`ready` or `busy`.")
    model: str = Field(description="The run whose model answers.")
    problem: str = Field(description="Why a newer model could not be loaded; empty where none has failed.")
    notes: list[str] = Field(description="On the weights that the model's training began with.")
    classes: list[str]


def answers_json(run_id: str, found: Sequence[Answered], *, with_all: bool) -> dict[str, Any]:
    """Return Answers as plain values, without what does not apply."""
    return {"model": run_id, "answers": [_answer(one, with_all) for one in found]}


def _answer(one: Answered, with_all: bool) -> dict[str, Any]:
    answer = one.answer
    if answer is None:
        return {"picture": one.name, "answered": False, "error": {"reason": one.reason, "detail": one.detail}}
    values: dict[str, Any] = {"picture": one.name, "answered": answer.answered, "label": answer.label}
    values |= {"probability": round(answer.probability, 6), "best": answer.best}
    values |= {} if answer.answered else {"reason": answer.why_none}
    values |= {"distance": round(answer.distance, 6)} if answer.distance is not None else {}
    values |= {"note": one.detail} if one.detail else {}
    if with_all:
        ordered = sorted(answer.probabilities.items(), key=lambda item: (-item[1], item[0]))
        values["probabilities"] = {name: round(value, 6) for name, value in ordered}
    return values


ABOUT = (
    "Send a picture, get its class with a calibrated probability, or `none` with the reason. Limits and what is kept "
    "stand in section [serve] of workspace.toml."
)

_PANDA = {"picture": "1.jpg", "answered": True, "label": "red panda", "probability": 0.982, "best": "red panda"}
_NONE = {
    "picture": "2.jpg",
    "answered": False,
    "label": "none",
    "probability": 0.41,
    "best": "raccoon",
    "reason": "unlike the training pictures: distance 0.61, own ones have at most 0.43",
    "distance": 0.61,
}
_BROKEN = {"picture": "3.jpg", "answered": False, "error": {"reason": "truncated", "detail": "the file was cut off"}}

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answers; at least one picture could be read.",
        "content": {
            "application/json": {"example": {"model": "3f2a9c1b77e0", "answers": [_PANDA, _NONE, _BROKEN]}},
        },
    },
    422: {
        "description": "None of the pictures could be read, or a parameter is wrong.",
        "content": {"application/json": {"example": {"model": "3f2a9c1b77e0", "answers": [_BROKEN]}}},
    },
}

REFUSALS: dict[int, tuple[str, dict[str, str]]] = {
    400: (
        "The request is empty, was cut off, or is no form.",
        {"reason": "empty", "detail": "the form has no file"},
    ),
    401: (
        "No token, or a wrong one.",
        {"reason": "wrong_token", "detail": "this is not the token of the service"},
    ),
    408: (
        "The request did not arrive in time.",
        {"reason": "too_slow", "detail": "the request did not arrive within 60 s (serve.timeout_s)"},
    ),
    413: (
        "Too large, or too many pictures.",
        {"reason": "too_large", "detail": "larger than 20 MB (serve.max_mb)"},
    ),
    503: (
        "Too many requests at work, or not answered in time; Retry-After says when to ask again, in seconds.",
        {"reason": "busy", "detail": "32 requests are at work (serve.concurrency); ask again in a second"},
    ),
}

HEALTH: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "It answers.",
        "content": {
            "application/json": {
                "example": {
                    "status": "ready",
                    "model": "3f2a9c1b77e0",
                    "problem": "",
                    "notes": [],
                    "classes": ["raccoon", "red panda"],
                }
            }
        },
    },
    503: {"description": "As many requests are at work as may be."},
}

LIVE: dict[int | str, dict[str, Any]] = {
    200: {"description": "It is up.", "content": {"application/json": {"example": {"status": "live"}}}}
}

METRICS: dict[int | str, dict[str, Any]] = {200: {"description": "The metrics, as text."}}

_BINARY = {"type": "string", "format": "binary"}

CLASSIFY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": _BINARY},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"pictures": {"type": "array", "items": _BINARY}},
                    "required": ["pictures"],
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"addresses": {"type": "array", "items": {"type": "string", "format": "uri"}}},
                    "required": ["addresses"],
                },
                "example": {"addresses": ["https://example.org/animal.jpg"]},
            },
        },
    },
    "x-codeSamples": [
        {
            "lang": "Shell",
            "label": "One picture",
            "source": "curl --data-binary @1.jpg -H 'Content-Type: image/jpeg' "
            "'http://127.0.0.1:8000/classify?all=true'",
        },
        {
            "lang": "Shell",
            "label": "Several pictures",
            "source": "curl -F pictures=@1.jpg -F pictures=@2.jpg http://127.0.0.1:8000/classify",
        },
        {
            "lang": "Shell",
            "label": "Addresses, with a token",
            "source": 'curl --json \'{"addresses": ["https://example.org/animal.jpg"]}\' '
            '-H "Authorization: Bearer $COLLECT_AND_TRAIN_TOKEN" https://pictures.example.org/classify',
        },
    ],
}
