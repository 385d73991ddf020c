"""Settings of operation: publishing and retraining; the HTTP service (`serve --api`), what it keeps, and drift."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import Field

from workspace.config.clean import CleanConfig
from workspace.config.collect import NetworkConfig
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


class ServeConfig(Section):
    """Limits of `serve --api`, what it keeps of the pictures that it answers, and when its answers have drifted.

    What decoding a file may take is that of [clean]; how an address is fetched that of [network].
    """

    max_mb: float = Field(20, gt=0, description="Largest picture, in megabytes (10^6 bytes).")
    max_request_mb: float = Field(100, gt=0, description="Largest request, in megabytes, all of its pictures together.")
    max_pictures: int = Field(1000, ge=1, le=10_000, description="Most pictures in one request.")
    max_addresses: int = Field(20, ge=0, le=1000, description="Most addresses in one request; 0: none is fetched.")
    timeout_s: float = Field(
        60, gt=0, description="Time limit for a request to arrive, and again for its answer, in seconds."
    )
    fetch_timeout_s: float = Field(
        10, gt=0, description="Time limit for fetching one address, in seconds, where [network] allows more."
    )
    concurrency: int = Field(
        32, ge=1, le=1000, description="Requests at work at once; one more is answered 503 with Retry-After."
    )
    batch: int = Field(16, ge=1, le=256, description="Most pictures of waiting requests in one forward pass; 1: none.")
    keep: bool = Field(
        False,
        description="Keep the pictures that the model answers `none` or is least sure of, so that `review` can put "
        "them into the next training. They stay in the folder served/ of the workspace.",
    )
    keep_below: Fraction = Field(
        0.6, description="Probability of the answer below which a picture is kept, where `keep` is on."
    )
    keep_pictures: int = Field(500, ge=1, le=100_000, description="Most pictures kept; the surest makes room.")
    keep_mb: float = Field(200, gt=0, description="Most megabytes kept; the surest makes room.")
    window: int = Field(
        2000, ge=100, le=1_000_000, description="Latest answers that are compared with those to the test pictures."
    )
    drift_level: float = Field(
        0.01,
        ge=0.0001,
        le=0.5,
        description="Chance that a comparison finds drift where there is none: the width of the bands.",
    )


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """The sections that a service goes by; a model folder without a workspace is served with the defaults."""

    serve: ServeConfig = field(default_factory=ServeConfig)
    clean: CleanConfig = field(default_factory=CleanConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
