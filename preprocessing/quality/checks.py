"""Quality checks: one function per fault, which scores facts measured once.

The defaults drop only images that are certainly useless. All others are flagged: they stay, and a person should look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from preprocessing.images.usage_rights import refuses_training
from workspace.catalog.records import ImageFacts
from workspace.config.clean import CleanConfig

LIMIT = 0.5
"""The pass mark of every check: an image below it fails."""

Score = Callable[[ImageFacts, CleanConfig], float]
"""A score in [0, 1]: 0.5 is on the limit, 1 twice as good as the limit or better."""


@dataclass(frozen=True, slots=True)
class Check:
    """A score function and the outcome of a failure: `drop`, or `flag` (the image stays)."""

    score: Score
    outcome: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of the checks: `outcome` keep, flag or drop, the reason (empty for keep) and the score."""

    outcome: str
    reason: str
    score: float


def too_small(facts: ImageFacts, clean: CleanConfig) -> float:
    """Shorter side against `min_side_px`: an icon shows too little."""
    return _at_least(min(facts.width, facts.height), clean.min_side_px)


def extreme_aspect(facts: ImageFacts, clean: CleanConfig) -> float:
    """Longer over shorter side against `max_aspect`: a banner or a rule."""
    return _at_least(clean.max_aspect * min(facts.width, facts.height), max(facts.width, facts.height))


def blank(facts: ImageFacts, clean: CleanConfig) -> float:
    """Contrast against `min_contrast`: one colour, or nearly so."""
    return _at_least(facts.contrast, clean.min_contrast)


def training_refused(facts: ImageFacts, clean: CleanConfig) -> float:
    """What the file's metadata says of training, if `flag_reserved` asks for it: 0 where it refuses."""
    return 0.0 if clean.flag_reserved and refuses_training(facts.usage_rights) else 1.0


def placeholder(facts: ImageFacts, clean: CleanConfig) -> float:
    """Share of the two main colours against `max_two_tone`: "image not available", or a logo, on a flat ground."""
    return _at_most(facts.two_tone, clean.max_two_tone)


def mostly_text(facts: ImageFacts, clean: CleanConfig) -> float:
    """Share of blocks with writing against `max_text`: a page, a quotation, a slide."""
    return _at_most(facts.text, clean.max_text)


def animated(facts: ImageFacts, clean: CleanConfig) -> float:
    """Frames against `max_frames`: of an animation only the first frame is seen."""
    return 1.0 if facts.frames <= clean.max_frames else LIMIT * clean.max_frames / facts.frames


def too_dark(facts: ImageFacts, clean: CleanConfig) -> float:
    """99th percentile of grey against `min_highlights` (0.32, as cleanvision's check `dark`)."""
    return _at_least(facts.highlights, clean.min_highlights)


def too_bright(facts: ImageFacts, clean: CleanConfig) -> float:
    """5th percentile of grey against `max_shadows` (0.95, as cleanvision's check `light`)."""
    return _at_most(facts.shadows, clean.max_shadows)


def low_detail(facts: ImageFacts, clean: CleanConfig) -> float:
    """Entropy of grey in bits against `min_entropy` (3, as cleanvision's check `low information`)."""
    return _at_least(facts.entropy, clean.min_entropy)


def blurred(facts: ImageFacts, clean: CleanConfig) -> float:
    """Variance of the Laplacian at 64 px against `min_sharpness`; the idea of cleanvision's check `blurry`."""
    return _at_least(facts.sharpness, clean.min_sharpness)


CHECKS: dict[str, Check] = {
    "too_small": Check(too_small, "drop"),
    "extreme_aspect": Check(extreme_aspect, "drop"),
    "blank": Check(blank, "drop"),
    "training_refused": Check(training_refused, "flag"),
    "placeholder": Check(placeholder, "flag"),
    "mostly_text": Check(mostly_text, "flag"),
    "animated": Check(animated, "flag"),
    "too_dark": Check(too_dark, "flag"),
    "too_bright": Check(too_bright, "flag"),
    "low_detail": Check(low_detail, "flag"),
    "blurred": Check(blurred, "flag"),
}
"""By reason, in order of precedence: the first that fails gives the reason."""


def judge(facts: ImageFacts, clean: CleanConfig) -> Finding:
    """Run every check on a decoded image; the first failure counts, else the lowest score."""
    scores = {reason: check.score(facts, clean) for reason, check in CHECKS.items()}
    for reason, score in scores.items():
        if score < LIMIT:
            return Finding(CHECKS[reason].outcome, reason, score)
    return Finding("keep", "", min(scores.values()))


def _at_least(value: float, limit: float) -> float:
    return min(1.0, LIMIT * value / limit) if limit > 0 else 1.0


def _at_most(value: float, limit: float) -> float:
    """For shares: 1 far below the limit, 0.5 on it, 0 for a share of 1."""
    return min(1.0, LIMIT * (1 - value) / (1 - limit)) if limit < 1 else 1.0
