"""What steps and runs did, and what a model scores."""

from __future__ import annotations

from pydantic import Field

from cli.documents.base import Document
from workspace.catalog.records import StepCounts
from workspace.storage.metrics import HeadlineScores, Scores, Share


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
