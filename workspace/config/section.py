"""Base class of every section of workspace.toml."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

THIS_RUN_ONLY: dict[str, Any] = {"this_run_only": True}
"""Marks a field, as its json_schema_extra, whose value is written into no file: it belongs to one run."""

EXECUTION_ONLY: dict[str, Any] = {"execution_only": True}
"""Marks a field, as its json_schema_extra, that says where and how fast a model is computed, not which model: the steps
of one run may differ in it."""

Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base class of the sections: frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
