"""Origin of a backbone's weights, and the warnings that must precede any accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from workspace.storage.model_card import ModelCard


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of a backbone's weights.

    `used` is the backbone's name and `requested` the configured one; `fallback_reason` says why they differ, else it
    is empty; `weights` is `imagenet` or `random`; `source` a file's path or a sentence.
    """

    used: str
    requested: str
    fallback_reason: str
    weights: str
    source: str

    def notes(self) -> tuple[str, ...]:
        """List the warnings: a fallback, random weights."""
        notes = []
        if self.fallback_reason:
            notes.append(f"{self.used} was used in place of {self.requested}: {self.fallback_reason}")
        if self.weights == "random":
            notes.append(
                f"{self.used} started from RANDOM WEIGHTS, so the accuracy of this run means nothing: it only "
                "shows that every step works"
            )
        return tuple(notes)

    @classmethod
    def from_card(cls, card: ModelCard) -> Origin:
        """Read the origin from a model card."""
        return cls(card.backbone, card.requested_backbone, card.fallback_reason, card.weights, card.weights_source)
