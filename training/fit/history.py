"""history.json: how the linear head and the fine-tuned network did on held-out images, and which of them was kept."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar

from pydantic import Field

from training.stats.fold_comparison import FoldComparison
from workspace.storage.artefact import Artefact, Part


class HeadScores(Part):
    """The linear head's settings, and how it did on held-out images.

    `stages` and `views` stand in files of programs that chose between them; now two heads are averaged.
    """

    C: float | None = Field(None, description="scikit-learn's inverse regularisation, of the sum over images.")
    stages: int | None = Field(None, description="Stages it learns from, the last first; null: all that it sees.")
    views: int | None = Field(None, description="Views of each image it learns from, the clean one first; null: all.")
    val_accuracy: float | None = Field(description="Balanced, in [0, 1]; null where nothing was held out.")
    val_loss: float | None = Field(description="Mean log-loss, in nats; null where nothing was held out.")
    n_train: int = Field(description="Images of the training set.")

    @property
    def knows_settings(self) -> bool:
        """Whether `stages` and `views` say what it learns from; false in files written before they were chosen."""
        return "stages" in self.model_fields_set


class Epoch(Part):
    """One epoch of fine-tuning."""

    epoch: int = Field(description="From 1.")
    loss: float = Field(description="Of the training images, as it was minimised.")
    lr: float = Field(description="Learning rate of the head at the end of the epoch.")
    val_loss: float | None = Field(
        None, description="Mean log-loss of held-out images, in nats; at the last epoch without them."
    )
    val_accuracy: float | None = Field(None, description="Balanced, in [0, 1]; at the last epoch without them.")


class GuardScores(Part):
    """Both recipes on the same held-out images: training.stats.fold_comparison.FoldComparison."""

    head: float = Field(description="Balanced accuracy in [0, 1].")
    finetuned: float = Field(description="Balanced accuracy in [0, 1] of the head averaged with the fine-tuned copy.")
    difference: float = Field(description="finetuned - head.")
    standard_error: float = Field(description="Of the difference, paired by group.")
    loss_difference: float | None = Field(None, description="The same of the log-loss, in nats.")
    loss_standard_error: float | None = Field(None, description="Of that difference.")
    n: int = Field(description="Images that both answered.")
    passes: bool = Field(description="Whether it is not worse by more than two standard errors.")

    @classmethod
    def of(cls, comparison: FoldComparison) -> GuardScores:
        """Record a comparison."""
        return cls(**asdict(comparison), passes=comparison.passes)


class PartScores(Part):
    """How one part of the model did on the held-out images that all parts answered."""

    name: str = Field(description="In words.")
    n: int = Field(description="Images.")
    balanced_accuracy: float = Field(description="In [0, 1].")
    log_loss: float = Field(description="Mean, in nats.")


class History(Artefact):
    """history.json, written by train before the card."""

    VERSION: ClassVar[int] = 2
    COMMAND: ClassVar[str] = "collect-and-train train"
    REPAIR: ClassVar[str] = "delete the run's folder model/ and train again: collect-and-train train"

    head: HeadScores
    finetune: tuple[Epoch, ...] = Field(description="Empty where nothing was fine-tuned.")
    guard: GuardScores | None = Field(None, description="Null where nothing was compared.")
    parts: tuple[PartScores, ...] = Field((), description="Last-stage head, head, fine-tuned copy, both averaged.")
    tuned_share: float = Field(0.0, description="Weight of the copy's logits in what ships; 0: the head alone.")
    members: int = Field(0, description="In files of programs that averaged so many fine-tuned networks.")
    cut_short: str = Field("", description="What train.time_limit_s or a divergence left out, in a sentence.")
    chosen: str = Field("", description="What ships: `head` or `finetuned`.")
    why: str = Field("", description="Why, in a sentence.")
