"""How long fine-tuning lasts, and the learning rate on the way."""

from __future__ import annotations

import math

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises from 0, before its cosine falls back to 0."""

EPOCHS = 12
"""Epochs on few images: those of LP-FT as it was measured (docs/decisions/0011); after 6 or 8 it was behind."""

LARGE, LARGE_EPOCHS = 400, 4
"""From so many images on, epochs fall in inverse proportion to them, down to this: each image needs to be seen less
often where there are more like it, and a person waits."""

LAST_PART, LAST_RATE = 1 / 3, 0.5
"""Epochs with the held-out images too, as a share of those without them, and their peak learning rate as a share of the
first: enough to learn from them, and little enough to keep the rest."""


def epochs_for(images: int) -> int:
    """Choose the number of epochs for so many images to learn from (train.epochs = "auto")."""
    return max(LARGE_EPOCHS, min(EPOCHS, round(EPOCHS * LARGE / images)))


def last_epochs(epochs: int) -> int:
    """Choose the number of epochs with every image that follow so many without the held-out ones."""
    return max(1, round(epochs * LAST_PART))


def learning_rate(step: int, steps: int) -> float:
    """The learning rate at a step (from 0) of `steps`, as a share of its peak: linear warm-up, then a cosine to 0."""
    warm = max(1, round(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm + 1) / (steps - warm + 1)))
