"""Settings of publishing, of watching for new pictures, and of retraining."""

from __future__ import annotations

from pydantic import Field

from workspace.config.section import Fraction, Section


class RetrainConfig(Section):
    """When a new model is trained, and when it replaces the live one."""

    publish_level: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="A new model is published when it is right more often than the live one on the frozen test "
        "pictures of both, and chance alone would do as well with a probability below this (paired exact test).",
    )
    min_new_images: int = Field(
        30, ge=1, description="So many new clean pictures start a retraining; counted since the last one."
    )
    min_new_share: Fraction = Field(
        0.0,
        description="Start a retraining also when the new clean pictures are this share of those trained on; 0: off.",
    )
    settle_s: float = Field(
        5.0,
        ge=0,
        description="A file in the inbox that was changed less than this ago is left for the next time, in seconds: it "
        "may still be in copying.",
    )
    search_again_h: float = Field(
        24.0,
        ge=0,
        description="Ask a search that already ran again after so many hours, one page each time, while its class has "
        "fewer clean pictures than search.per_class; 0: never again.",
    )
