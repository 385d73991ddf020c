"""How a workspace stands, and what became of its folder."""

from __future__ import annotations

from pydantic import Field

from cli.documents.base import Document
from cli.documents.runs import Measured


class ClassStatus(Document):
    """Pictures of one class; those of `none` are the negatives."""

    found: int = Field(description="URLs or files.")
    clean: int
    kept: int = Field(description="What curation leaves of the clean ones.")
    to_review: int
    reviewed: int
    train: int
    val: int
    test: int


class LastRun(Document):
    """The latest run."""

    run_id: str
    pictures: int
    trained: bool
    scores: Measured | None = Field(description="Null before evaluate.")


class LiveModel(Document):
    """The model that answers."""

    run_id: str
    since: str = Field(description="UTC, ISO 8601.")
    why: str


class Status(Document):
    """Where a workspace stands."""

    workspace: str
    classes: dict[str, ClassStatus]
    last_run: LastRun | None
    live_model: LiveModel | None
    last_challenger: LiveModel | None = Field(description="The latest model that was not published, with the reason.")
    changes: list[str] = Field(description="Since the live model was trained, in sentences.")
    service: str | None = Field(description="Whether the service's answers have drifted; null where none are counted.")
    unlabelled: int = Field(description="Pictures that the service kept and nobody has decided on.")
    notes: dict[str, list[str]] = Field(
        description="Sentences: on renamed `classes`, waiting `decisions`, classes with `too few` pictures, "
        "`settings` that the live model has from its run alone, what waits in the `inbox`, and a `live model` whose "
        "files are gone."
    )
    in_use_by: str | None = Field(description="The command that is at work in it now.")


class Watched(Document):
    """New clean pictures."""

    new: dict[str, int] = Field(description="By the folder of the workspace.")


class Initialised(Document):
    """A new workspace.toml."""

    file: str


class Moved(Document):
    """Files of a workspace in another place."""

    workspace: str
    place: str = Field(description="Where they are now.")
    moved: list[str] = Field(description="What was moved, with numbers; empty where everything was there already.")


class Deployed(Document):
    """Deployments on a server of Prefect."""

    server: str
    worker_command: str = Field(description="Starts a worker for them.")
