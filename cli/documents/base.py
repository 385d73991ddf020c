"""The form that all documents share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Document(BaseModel):
    """Base of the documents."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Failure(Document):
    """What every command with --json prints when it fails, on one line; the exit code is the same as without."""

    error: str = Field(description="What is wrong and what helps, for people.")
    kind: str = Field(description="Class of the error, such as ConfigError; UsageError for wrong arguments.")
    exit_code: int
