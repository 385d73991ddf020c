"""What makes a picture useless by itself: one small function per fault, over facts that were measured once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from preprocessing.decode import Pixels, shrink
from workspace.clean_config import CleanConfig
from workspace.records import ImageFacts

SHARPNESS_SIDE_PX = 64

LIMIT = 0.5
"""The score at which every check draws its line: below it a picture is dropped, 1 is beyond doubt."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Numbers about a picture's grey levels g (ITU-R 601 luma, 0 to 1).

    `brightness` is the mean of g; `contrast` its standard deviation, 0 to 0.5; `entropy` that of the histogram of
    256 levels, 0 to 8 bits; `sharpness` the variance of the Laplacian (4 neighbours) of g with the shorter side at
    64 px: about 0.001 in a blurred picture, 0.02 in a sharp one.
    """

    brightness: float
    contrast: float
    entropy: float
    sharpness: float


def measure(pixels: Pixels) -> Measures:
    """Measure a picture [h, w, 3]."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    levels = grey.astype(np.float64) / 255
    small = np.asarray(Image.fromarray(shrink(pixels, SHARPNESS_SIDE_PX)).convert("L"), dtype=np.float64) / 255
    centre = small[1:-1, 1:-1]
    laplacian = small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:] - 4 * centre
    return Measures(
        brightness=float(levels.mean()),
        contrast=float(levels.std()),
        entropy=float(-(shares * np.log2(shares)).sum()) + 0.0,
        sharpness=float(laplacian.var()) if laplacian.size else 0.0,
    )


Check = Callable[[ImageFacts, CleanConfig], float]
"""A score in [0, 1]: 0.5 is on the limit, 1 twice as good as the limit or better."""


def too_small(facts: ImageFacts, clean: CleanConfig) -> float:
    """Shorter side against `min_side_px`: an icon shows too little."""
    return _score(min(facts.width, facts.height), clean.min_side_px)


def extreme_aspect(facts: ImageFacts, clean: CleanConfig) -> float:
    """Longer over shorter side against `max_aspect`: a banner or a rule."""
    return _score(clean.max_aspect * min(facts.width, facts.height), max(facts.width, facts.height))


def blank(facts: ImageFacts, clean: CleanConfig) -> float:
    """Contrast against `min_contrast`: one colour, or nearly so."""
    return _score(facts.contrast, clean.min_contrast)


CHECKS: dict[str, Check] = {"too_small": too_small, "extreme_aspect": extreme_aspect, "blank": blank}
"""By the reason that each gives, in the order in which they are asked: the first that fails gives the reason."""


def judge(facts: ImageFacts, clean: CleanConfig) -> tuple[str, float]:
    """Ask every check about a decoded picture.

    Returns:
        The reason of the first that fails and its score; or an empty reason and the lowest score of all.
    """
    scores = {reason: check(facts, clean) for reason, check in CHECKS.items()}
    for reason, score in scores.items():
        if score < LIMIT:
            return reason, score
    return "", min(scores.values())


def _score(value: float, limit: float) -> float:
    return min(1.0, LIMIT * value / limit) if limit > 0 else 1.0
