"""What models answer, what was decided about them, and their exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from cli.documents.base import Document


class ModelDecision(Document):
    """A decision about a model."""

    run_id: str
    action: str = Field(description="`published`, `kept_champion` or `rolled_back`.")
    live_model: str = Field(description="The live run after it.")
    why: str
    made_at: str = Field(description="UTC, ISO 8601.")
    numbers: dict[str, Any] = Field(description="What it was decided by.")


class Models(Document):
    """Every decision about a model, the earliest first."""

    workspace: str
    live_model: str | None
    decisions: list[ModelDecision]


class Pruned(Document):
    """The models of earlier runs that were deleted, or would be."""

    workspace: str
    changed: bool = Field(description="False: it was only shown.")
    runs: list[str]
    bytes: int = Field(description="Of their files.")


class PredictionLine(Document):
    """The answer to one picture; `predict --json` prints one such object in each line."""

    picture: str
    answered: bool = Field(description="Whether one of the classes is the answer.")
    label: str | None = Field(None, description="The class, or `none`; absent with `error`.")
    probability: float | None = Field(None, description="Of the best class, calibrated where the model is.")
    best: str | None = Field(None, description="The most probable class.")
    reason: str | None = Field(None, description="Why the answer is `none`.")
    distance: float | None = Field(None, description="Cosine distance to the training pictures.")
    note: str | None = Field(None, description="What was assumed to read the file.")
    probabilities: Mapping[str, float] | None = Field(None, description="Of every class.")
    error: str | None = Field(None, description="Why it could not be read.")


class Export(Document):
    """One exported format."""

    format: str
    summary: str = Field(description="Where it is, and how it was checked.")


class Exports(Document):
    """What was exported."""

    workspace: str
    run_id: str
    folder: str
    exports: list[Export]
