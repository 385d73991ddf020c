"""The JSON documents of the commands that have --json; their keys stay, new ones may be added.

The documentation's page of them is made from this file (docs/site/json_page.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from workspace.catalog.records import StepCounts
from workspace.storage.metrics import HeadlineScores, Scores, Share


class Document(BaseModel):
    """Base of the documents."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Failure(Document):
    """What every command with --json prints when it fails, on one line; the exit code is the same as without."""

    error: str = Field(description="What is wrong and what helps, for people.")
    kind: str = Field(description="Class of the error, such as ConfigError; UsageError for wrong arguments.")
    exit_code: int


class StepResult(Document):
    """What a step did."""

    step: str
    done: int = Field(description="Items done now.")
    reused: int = Field(description="Items done by an earlier run.")
    counts: dict[str, int] = Field(description="Items by outcome or reason, whether done now or before.")
    notes: list[str] = Field(description="Sentences that a person must see.")

    @classmethod
    def of(cls, counts: StepCounts) -> StepResult:
        """Write down the counts of a step."""
        return cls(
            step=counts.step,
            done=counts.done,
            reused=counts.reused,
            counts=dict(counts.by_reason),
            notes=list(counts.notes),
        )


class WorkspaceStep(StepResult):
    """What a step of collection, or up to the split, did."""

    workspace: str


class Interval(Document):
    """A share in [0, 1] with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, share: Share) -> Interval:
        """Write down a share."""
        return cls(value=share.value, low=share.interval[0], high=share.interval[1])


class ScoreSet(Document):
    """The headline scores of one set of answers."""

    pictures: int
    accuracy: Interval
    balanced_accuracy: Interval
    macro_f1: Interval

    @classmethod
    def of(cls, scores: HeadlineScores | Scores) -> ScoreSet:
        """Write down scores."""
        return cls(
            pictures=scores.n,
            accuracy=Interval.of(scores.accuracy),
            balanced_accuracy=Interval.of(scores.balanced_accuracy),
            macro_f1=Interval.of(scores.macro_f1),
        )


class FalseAcceptance(Document):
    """How often a picture of none of the classes gets one."""

    pictures: int = Field(description="Negatives of the test.")
    rate: Interval


class Measured(Document):
    """The scores of a model."""

    leads: str = Field(description="`test` or `cross_validation`: which a person should go by.")
    test: ScoreSet = Field(description="On the frozen test pictures.")
    cross_validation: ScoreSet | None = Field(
        description="Of the answers out of fold; null where nothing was held out."
    )
    negatives: FalseAcceptance | None = Field(description="Null without negatives.")


class RunStep(WorkspaceStep):
    """What a step on a frozen run did."""

    run_id: str
    model: str = Field(description="The model folder.")
    report: str | None = Field(description="report.html; null before it is written.")
    scores: Measured | None = Field(description="Null before evaluate.")
    live_model: str | None = Field(description="The run whose model is live; null before the first is published.")


class Collected(Document):
    """What a collection did."""

    workspace: str
    steps: list[StepResult]
    notes: list[str] = Field(description="A sentence for each class: how far it came, and why no further.")


class WholeRun(Collected):
    """What a run through every step did."""

    run_id: str
    model: str
    report: str | None
    scores: Measured | None
    live_model: str | None


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
        "`settings` that the live model has from its run alone, and what waits in the `inbox`."
    )
    in_use_by: str | None = Field(description="The command that is at work in it now.")


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


class Watched(Document):
    """New clean pictures."""

    new: dict[str, int] = Field(description="By the folder of the workspace.")


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


class Moved(Document):
    """Files of a workspace in another place."""

    workspace: str
    place: str = Field(description="Where they are now.")
    moved: list[str] = Field(description="What was moved, with numbers; empty where everything was there already.")


class Deployed(Document):
    """Deployments on a server of Prefect."""

    server: str
    worker_command: str = Field(description="Starts a worker for them.")


class Initialised(Document):
    """A new workspace.toml."""

    file: str


class EstimateLine(Document):
    """How long one step will take."""

    step: str
    units: int | None = Field(description="Items of work left; null where that is not known before an earlier step.")
    unit: str = Field(description="What is counted.")
    seconds: float | None = Field(description="Null where nothing was measured on this machine.")
    basis: str = Field(description="Where the number comes from, or why there is none.")


class Estimate(Document):
    """How long what is left of a workspace will take."""

    workspace: str
    seconds: float | None = Field(description="Of the steps that are known, together; null where none is.")
    complete: bool = Field(description="Whether every step with work left is known.")
    steps: list[EstimateLine]


DOCUMENTS: Mapping[str, type[Document]] = {
    "run": WholeRun,
    "demo": WholeRun,
    "init": Initialised,
    "collect": Collected,
    "estimate": Estimate,
    **dict.fromkeys(("search", "download", "clean", "features", "curate", "split"), WorkspaceStep),
    **dict.fromkeys(("train", "evaluate", "report", "publish"), RunStep),
    "watch": Watched,
    "retrain": WholeRun,
    "deploy": Deployed,
    "status": Status,
    "move": Moved,
    "predict": PredictionLine,
    "export": Exports,
    "models": Models,
    "rollback": ModelDecision,
    "sources": Sources,
    "retry": Retried,
    "leaks": Leaks,
    "rename": Renamed,
    "forget": Forgotten,
}
"""The document of each command that takes --json; the others serve a page until Ctrl-C."""

IN_LINES = frozenset({"predict"})
"""The commands that print a document for each picture, one a line (JSON Lines), as they go."""
