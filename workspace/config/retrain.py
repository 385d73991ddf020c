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
        description="Significance level: a new model is published when it is right more often than the live one on "
        "the frozen test pictures of both, with a smaller p-value (paired exact test).",
    )
    min_new_images: int = Field(
        30, ge=1, description="New clean pictures, since the last decision, that start a retraining."
    )
    min_new_share: Fraction = Field(
        0.0,
        description="A retraining also starts when the new clean pictures are this share of those trained on; 0: off.",
    )
    settle_s: float = Field(
        5.0,
        ge=0,
        description="Minimum age of a file in the inbox, in seconds; a newer one may still be being copied and is left "
        "for the next time.",
    )
    search_again_h: float = Field(
        24.0,
        ge=0,
        description="Hours after which a search is repeated, one page each time, while its class has fewer clean "
        "pictures than search.per_class; 0: never.",
    )
