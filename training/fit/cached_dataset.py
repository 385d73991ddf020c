"""What fine-tuning reads: pictures as the frozen stages left them, from the workspace's cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.network.features import view_key
from training.stats.scores import Floats, Labels
from workspace.storage.arrays import ArrayStore

Rows = npt.NDArray[np.int64]
Batch = tuple[npt.NDArray[np.float16], Floats, Labels]


@dataclass(frozen=True, slots=True)
class CachedPictures:
    """Pictures by sha256 with labels int64 [n], and their views as the frozen stages left them.

    `features` are the network's before it is trained, of which the last `frozen_width` stay as they are; `views` are
    used beside the clean one, 0 where only the clean ones are there or wanted.
    """

    keys: tuple[str, ...]
    labels: Labels
    activations: ArrayStore
    features: ArrayStore
    frozen_width: int
    views: int = 0

    def clean_batch(self, rows: Rows) -> Batch:
        """The clean views of these rows: activations float16 [n, …], the frozen stages' features, and labels."""
        return self._batch(rows, np.zeros_like(rows))

    def mixed_batch(self, rows: Rows, epoch: int) -> Batch:
        """The same, but each row's view moves on with the epoch and rows are at different ones."""
        return self._batch(rows, (rows + epoch) % (self.views + 1))

    def _batch(self, rows: Rows, views: Rows) -> Batch:
        names = [view_key(self.keys[row], int(view)) for row, view in zip(rows, views, strict=True)]
        features = self.features.get(names)
        return self.activations.get(names), features[:, features.shape[1] - self.frozen_width :], self.labels[rows]
