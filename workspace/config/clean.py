"""Settings of cleaning, curation and the split."""

from __future__ import annotations

from pydantic import Field, model_validator

from workspace.config.section import EXECUTION_ONLY, Fraction, Section


class CleanConfig(Section):
    """Limits of a usable picture, and when two pictures count as copies."""

    max_megapixels: float = Field(
        50, gt=0, description="Largest picture, in megapixels, by the file's header before decoding."
    )
    min_side_px: int = Field(64, ge=1, description="Smallest shorter side of a usable picture, in pixels.")
    max_aspect: float = Field(5.0, ge=1, description="Largest ratio of the longer side to the shorter side.")
    min_contrast: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Standard deviation of the grey levels (0 to 1) below which a picture is dropped as blank.",
    )
    flag_reserved: bool = Field(
        True,
        description="Flag pictures whose own metadata refuses training: IPTC/PLUS Data Mining, or C2PA.",
    )
    max_two_tone: Fraction = Field(
        0.97,
        description="Share of the two main colours above which a picture is flagged as a placeholder "
        '("image not available"), a logo or an icon; 1 turns this off, as for every share.',
    )
    max_text: Fraction = Field(
        0.45, description="Share of the area with writing above which a picture is flagged as mostly text."
    )
    max_frames: int = Field(1, ge=1, description="Frames above which a picture is flagged as animated.")
    min_highlights: Fraction = Field(
        0.32, description="99th percentile of the grey levels (0 to 1) below which a picture is flagged as too dark."
    )
    max_shadows: Fraction = Field(
        0.95, description="5th percentile of the grey levels (0 to 1) above which a picture is flagged as too bright."
    )
    min_entropy: float = Field(
        3.0,
        ge=0,
        le=8,
        description="Entropy of the grey levels, in bits, below which a picture is flagged: low detail.",
    )
    min_sharpness: float = Field(
        0.001, ge=0, description="Variance of the Laplacian at 64 px below which a picture is flagged as blurred."
    )
    cache_side_px: int = Field(
        256, ge=64, le=1024, description="Shorter side of the decoded pictures kept in the cache, in pixels."
    )
    same_distance: int = Field(
        12,
        ge=0,
        le=64,
        description="Largest pHash plus dHash distance of two copies of one picture, of 128 bits.",
    )
    kin_distance: int = Field(
        16,
        ge=0,
        le=64,
        description="Largest distance of near-duplicates, which are both kept, always in the same split.",
    )
    edited_distance: int = Field(
        24,
        ge=0,
        le=64,
        description="Largest distance at which two pictures are aligned and compared, to find crops, marks "
        "and small rotations.",
    )
    mirrored: bool = Field(True, description="A mirrored copy counts as a copy. Off where left and right matter.")
    turned: bool = Field(
        False, description="A copy rotated by 90, 180 or 270 degrees counts as a copy; for aerial pictures."
    )
    near_copies: bool = Field(
        True,
        description="Also find crops, borders, watermarks and small rotations, among nearest neighbours by features.",
    )
    near_neighbours: int = Field(
        10, ge=1, le=100, description="Nearest neighbours that each picture is aligned and compared with."
    )
    near_cosine: float = Field(0.5, ge=-1, le=1, description="Smallest cosine similarity of neighbours.")
    rank_margin: int = Field(
        10,
        ge=1,
        description="A picture that searches found under two classes stays in the one where it ranks at least this "
        "many positions higher; with a smaller margin it is dropped from both. A person's label counts before a "
        "search's.",
    )
    workers: int = Field(
        0, ge=0, description="Processes that decode; 0: one per core.", json_schema_extra=EXECUTION_ONLY
    )
    decoder_timeout_s: float = Field(
        60, gt=0, description="Time limit for decoding one file, in seconds.", json_schema_extra=EXECUTION_ONLY
    )
    decoder_memory_mb: float = Field(
        2000,
        ge=200,
        description="Memory limit for decoding one file, in megabytes (10^6 bytes).",
        json_schema_extra=EXECUTION_ONLY,
    )


class CurateConfig(Section):
    """Proposals to drop off-topic and mislabelled pictures, and whether they are applied."""

    apply: bool = Field(
        False,
        description="Drop the proposed pictures from train and val; the test split keeps them, flagged. false: a "
        "person decides in `collect-and-train review`.",
    )
    off_topic_below: Fraction = Field(
        0.25,
        description="Score below which a picture is proposed as off topic: 0 is as unlike its class as pictures of "
        "other classes, 0.5 is typical of its class.",
    )
    off_topic_share: Fraction = Field(0.20, description="Largest share of a class that is proposed as off topic.")
    label_issue_share: Fraction = Field(0.10, description="Largest share of a class that is proposed as mislabelled.")
    max_clusters: int = Field(
        5, ge=1, le=20, description="Largest number of clusters per class in the review; 1: no clusters."
    )


class SplitConfig(Section):
    """Shares of the training, validation and test splits."""

    train: Fraction = Field(0.70, description="Share for training.")
    val: Fraction = Field(0.15, description="Share for validation.")
    test: Fraction = Field(0.15, description="Share for the reported scores, never used in training or selection.")
    min_per_class: int = Field(8, ge=3, description="Fewest clean pictures per class; with fewer, no run is made.")

    @model_validator(mode="after")
    def _shares_add_up(self) -> SplitConfig:
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise ValueError(
                f"train, val and test add up to {self.train + self.val + self.test:g}; they must add up to 1"
            )
        return self
