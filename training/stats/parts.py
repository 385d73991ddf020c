"""Division of held-out images into parts, so that what is chosen on some of them is measured on others."""

from __future__ import annotations

import numpy as np

from training.stats.scores import Groups, Labels

PARTS = 5
"""Parts where each is answered with a number that the others choose."""


def random_parts(groups: Groups, count: int) -> Labels:
    """Divide images at random into parts of about as many groups, whole ones: the part of each image, int64 [n].

    Unlike `grouped_folds` it looks at no label, so that it is possible whatever groups there are; with fewer groups
    than `count` there are fewer parts.

    Args:
        groups: [n], names of the groups.
        count: of parts, from 2 on.
    """
    _, number = np.unique(groups, return_inverse=True)
    return np.random.default_rng(0).permutation(int(number.max()) + 1)[number] % count
