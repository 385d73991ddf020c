"""metrics.json: the scores of a saved model, and every prediction they were computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from workspace.storage.artefact import Artefact, Part


@dataclass(frozen=True, slots=True)
class Share:
    """A share in [0, 1] with its 95 % interval."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Bin:
    """A bin of the reliability diagram: mean confidence, share of right answers, number of images."""

    confidence: float
    right: float
    n: int


class ClassScores(Part):
    """Scores of one class."""

    precision: float | None = Field(description="In [0, 1]; null for a class that was never answered.")
    recall: float | None = Field(description="In [0, 1]; null for a class without images.")
    f1: float | None = Field(description="In [0, 1]; null where neither is defined.")
    support: int = Field(description="Images of the class.")


class LabelledPrediction(Part):
    """The model's answer to one image whose class is known."""

    sha256: str
    label: str = Field(description="The image's class in the dataset.")
    predicted: str = Field(description="The class that was answered.")
    probability: float = Field(description="Of that class, calibrated where the model is.")
    probabilities: tuple[float, ...] = Field(description="Of every class, [classes], with six decimals.")


class FoldScore(Part):
    """One fold of the cross-validation."""

    n: int = Field(description="Images.")
    accuracy: float = Field(description="In [0, 1].")


class HeadlineScores(Part):
    """The headline scores of one set of answers."""

    n: int = Field(description="Images.")
    accuracy: Share
    balanced_accuracy: Share
    macro_f1: Share


class Scores(Part):
    """Every score of one set of answers, and the answers."""

    n: int = Field(description="Images.")
    groups: int = Field(description="Groups of images that are not independent: copies, or one creator's.")
    effective_n: float = Field(description="Independent images that these are worth (Kish).")
    accuracy: Share
    balanced_accuracy: Share
    macro_f1: Share
    standard_error: float = Field(description="Of the accuracy.")
    log_loss: float = Field(description="Mean, in nats.")
    per_class: Mapping[str, ClassScores]
    confusion: tuple[tuple[int, ...], ...] = Field(
        description="Counts, [classes, classes]: row the true class, column the answer."
    )
    predictions: tuple[LabelledPrediction, ...]
    folds: tuple[FoldScore, ...] = Field((), description="Of the cross-validation only.")


class Baseline(Part):
    """The baseline that always answers the most frequent class of the training split."""

    label: str
    accuracy: float = Field(description="On the test images, in [0, 1].")


class Quality(Part):
    """Quality of probabilities."""

    ece: float = Field(description="Expected calibration error, in [0, 1].")
    log_loss: float = Field(description="Mean, in nats.")
    bins: tuple[Bin, ...] = Field(description="Of the reliability diagram, the least sure first.")


class CalibrationScores(Part):
    """Calibration before and after temperature scaling: out of fold, and on the test split."""

    temperature: float = Field(description="What logits are divided by.")
    n: int = Field(description="Out-of-fold answers it was fitted on.")
    before: Quality
    after: Quality
    test_before: Quality
    test_after: Quality


class RejectionLimits(Part):
    """Limits that an image must reach to get a class as its answer."""

    accept: float = Field(description="Share of in-class images that is to be answered, in [0, 1].")
    min_probability: float = Field(description="Of the best class, calibrated.")
    max_distance: float | None = Field(description="Cosine distance to the training images; null: not asked for.")


class RejectionRow(RejectionLimits):
    """The effect of one set of limits."""

    held_out_share: float = Field(description="Share of the out-of-fold images that set the limits that is answered.")
    test_answered: int = Field(description="Test images that are answered.")
    test_share: float = Field(description="The same as a share.")
    test_accuracy: float | None = Field(description="Of those that are answered; null where none is.")
    negatives_share: float | None = Field(None, description="Share of the negatives that is answered; absent: none.")


class OwnScores(Part):
    """The scores of the out-of-fold images that the limits were set by, [n]."""

    probability: tuple[float, ...]
    distance: tuple[float, ...] | None = Field(description="Null where no distance is asked for.")


class Negative(Part):
    """The model's answer to one image that is of no class."""

    sha256: str
    predicted: str = Field(description="The class that comes first, answered or not.")
    probability: float = Field(description="Of that class, calibrated.")
    distance: float | None = Field(description="To the training images; null: not asked for.")
    accepted: bool = Field(description="Whether it gets that class as its answer, which is wrong.")


class FalseAcceptance(Part):
    """How often pictures of no class get a class; measured on negatives that set no limit."""

    n: int = Field(description="Negatives that were asked about.")
    groups: int = Field(description="Groups of them that are not independent: copies, or one creator's.")
    rate: Share = Field(description="Share that gets a class, with the default limits; Wilson's interval, by groups.")
    set_by: int = Field(description="Other negatives, which helped to set the limits.")
    taken_for: Mapping[str, int] = Field(description="Negatives that get a class, by that class.")
    predictions: tuple[Negative, ...]


class Rejection(Part):
    """When the model answers "none"."""

    default: RejectionLimits
    n: int = Field(description="Test images.")
    held_out_n: int = Field(description="Out-of-fold images that the limits were set by.")
    table: tuple[RejectionRow, ...] = Field(description="By `accept`, the largest first.")
    own_scores: OwnScores
    held_out_distance: tuple[float | None, ...] | None = Field(
        None,
        description="Of all out-of-fold images, in the order of their predictions, also of those that set no limit; "
        "null where no distance is asked for, or none is known.",
    )
    test_distance: tuple[float, ...] | None = Field(
        None, description="Of the test images, in the order of their predictions; null where no distance is asked for."
    )


class Heatmap(Part):
    """Grad-CAM heat map of the evidence for the answer."""

    sha256: str
    label: str = Field(description="The class that was answered.")
    map: tuple[tuple[float, ...], ...] = Field(description="Rows in [0, 1] over the square that the network sees.")


class Metrics(Artefact):
    """metrics.json, written last by evaluate.

    The test in `splits` was never trained on nor chosen by; `cross_validation` are the answers of the shipped
    recipe's folds to the images that each had not learnt from.
    """

    FORMAT: ClassVar[int | None] = 2
    COMMAND: ClassVar[str] = "collect-and-train evaluate"
    REPAIR: ClassVar[str] = "measure again with: collect-and-train evaluate"

    format: Literal[2] = Field(description="Layout of the numbers; part of the digest `inputs`.")
    inputs: str = Field("", description="Digest of all that the numbers follow from: the same inputs are not redone.")
    run_id: str = ""
    classes: tuple[str, ...] = Field(description="In the order of the network's outputs.")
    leads: Literal["test", "cross_validation"] = Field(description="Which numbers a person should go by.")
    notes: tuple[str, ...] = Field(description="Sentences for people: fallbacks, random weights, few test images.")
    baseline: Baseline
    interval: str = Field(description="How the intervals were made, in words.")
    splits: Mapping[str, Scores] = Field(description="`test`; also `val` where nothing was held out.")
    test_cleaned: HeadlineScores | None = Field(
        description="Without the images that curate flagged; null where curate flagged none of the test images."
    )
    cross_validation: Scores | None = Field(description="Null where nothing was held out.")
    calibration: CalibrationScores | None = Field(description="Null where nothing was held out.")
    rejection: Rejection | None = Field(description="Null where nothing was held out.")
    negatives: FalseAcceptance | None = Field(None, description="Absent where no negatives were collected.")
    gradcam: tuple[Heatmap, ...] = Field((), description="Of the surest mistakes.")

    @property
    def test(self) -> Scores:
        """Scores on the frozen test images."""
        return self.splits["test"]

    @property
    def leading(self) -> Scores:
        """The scores that a person should go by."""
        return self.cross_validation if self.leads == "cross_validation" and self.cross_validation else self.test
