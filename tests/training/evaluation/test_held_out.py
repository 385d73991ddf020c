"""What the limits of "none of these" are fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.held_out import Reference, calibrate, limit_setting
from training.stats.folds import OutOfFold
from workspace.catalog.records import Sample


def _samples(labels: list[str]) -> tuple[Sample, ...]:
    return tuple(Sample(f"{row:064}", label, "train", "", *[""] * 10, 1, 1) for row, label in enumerate(labels))


@pytest.fixture
def features() -> np.ndarray:
    """Two classes of 20 images around a direction each, and an image of something else in the first class."""
    rng = np.random.default_rng(0)
    centres = np.eye(8)[np.repeat([0, 1], 20)]
    return np.concatenate([centres + rng.normal(0, 0.05, (40, 8)), np.eye(8)[[5]]]).astype(np.float16)


def test_an_off_topic_picture_moves_no_limit(features: np.ndarray) -> None:
    samples = _samples(["cat"] * 20 + ["dog"] * 20 + ["cat"])
    keys, labels = tuple(one.sha256 for one in samples), np.array([0] * 20 + [1] * 20 + [0])
    held_out = OutOfFold(keys, labels, np.eye(2, dtype=np.float32)[labels] * 4, np.zeros(41, np.int64))
    distances, setting = limit_setting(keys, features, samples)
    assert setting.tolist() == [True] * 40 + [False] and distances[:40].max() < 0.1 and distances[40] > 0.5
    fitted = calibrate(held_out, Reference(samples, features), 0.95)
    limit = fitted.calibration.limits[0].max_distance
    assert limit is not None and limit < 0.5
    assert fitted.sets_limits.sum() == 40 and len(fitted.calibration.reference) == 41


def test_where_only_such_pictures_were_held_out_they_set_the_limits(features: np.ndarray) -> None:
    samples = _samples(["cat"] * 20 + ["dog"] * 20 + ["cat"])
    distances, setting = limit_setting(["x", samples[40].sha256], features, samples)
    assert setting.tolist() == [False, True] and np.isnan(distances[0]) and distances[1] > 0.5
