"""How long fine-tuning lasts, and the learning rate on the way."""

from __future__ import annotations

import math

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises from 0, before its cosine falls back to 0."""

VIEWS = 3_200
"""Views that a network learns from in all, where that gives a number of epochs within the bounds below."""

EPOCHS = (8, 24)
"""Fewest and most epochs on few images: with fewer the last stages do not recover from the first, large steps; more
only fit the same few images closer."""

LARGE, LARGE_EPOCHS = 800, 4
"""From so many images on, epochs fall in inverse proportion to them, from the fewest above down to this: each image
needs to be seen less often where there are more like it."""


def epochs_for(images: int) -> int:
    """Choose the number of epochs for so many images to learn from (train.epochs = "auto")."""
    least, most = EPOCHS
    if images > LARGE:
        return max(LARGE_EPOCHS, round(least * LARGE / images))
    return min(most, max(least, round(VIEWS / images)))


def learning_rate(step: int, steps: int) -> float:
    """The learning rate at a step (from 0) of `steps`, as a share of its peak: linear warm-up, then a cosine to 0."""
    warm = max(1, round(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))
