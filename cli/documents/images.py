"""Sources, and what concerns single pictures."""

from __future__ import annotations

from pydantic import Field

from cli.documents.base import Document


class SourceEntry(Document):
    """A source."""

    name: str
    summary: str
    key: str = Field(description="The environment variables of its key, and whether they are set.")
    licenses: str = Field(description="Whether it names licences: yes, no, or empty where it is not supported.")
    limits: str
    state: str = Field(description="With --check: up, down, blocked, changed, not set up; else empty.")
    reason: str


class Sources(Document):
    """Every source."""

    sources: list[SourceEntry]


class LeakEntry(Document):
    """A picture of the workspace that the outside set also shows."""

    kind: str
    label: str
    sha256: str
    outside: str = Field(description="File of the outside set.")


class Leaks(Document):
    """The comparison with an outside test set; exit code 3 where there are leaks."""

    workspace: str
    outside_pictures: int
    leaks: list[LeakEntry]
    not_read: dict[str, str] = Field(description="Reason by file of the outside set.")
    by_features: bool = Field(description="Whether features were compared too, or hashes alone.")


class Retried(Document):
    """Failed searches and downloads that were repeated."""

    workspace: str
    retried: int
    succeeded: int
    before: dict[str, int] = Field(description="Failures by `search: reason` and `download: reason`.")
    after: dict[str, int]


class UsingRun(Document):
    """A run whose dataset has some of the pictures."""

    run_id: str
    pictures: int
    standing: str = Field(description="`live`, `published`, `trained` or `dataset`.")


class Forgotten(Document):
    """What a withdrawal concerns."""

    workspace: str
    changed: bool = Field(description="False with --dry-run.")
    urls: int
    pictures: int = Field(description="Stored files that are deleted.")
    withdrawn_before: int
    kept_by_service: int = Field(description="Pictures that the service kept, deleted too.")
    own_files: list[str] = Field(description="Files of yours among them, which stay where they are.")
    runs: list[UsingRun]


class Renamed(Document):
    """A class with another name."""

    workspace: str
    old: str
    new: str
    notes: list[str] = Field(description="What went along.")
