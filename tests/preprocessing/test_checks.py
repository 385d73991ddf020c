import dataclasses

import numpy as np
import pytest

from preprocessing.checks import CHECKS, judge, measure
from workspace.clean_config import CleanConfig
from workspace.records import ImageFacts

CLEAN = CleanConfig()


def facts_of(pixels: np.ndarray) -> ImageFacts:
    height, width = pixels.shape[:2]
    return ImageFacts("x", width=width, height=height, **dataclasses.asdict(measure(pixels)))


def noise(height: int, width: int, spread: float = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(128, spread, (height, width, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)


@pytest.mark.parametrize(
    ("reason", "bad", "good"),
    [
        ("too_small", noise(63, 200), noise(64, 200)),
        ("extreme_aspect", noise(64, 321), noise(64, 320)),
        ("blank", noise(100, 100, spread=2), noise(100, 100, spread=3)),
    ],
)
def test_each_check_drops_its_example_and_spares_its_neighbour(reason, bad, good) -> None:
    got, score = judge(facts_of(bad), CLEAN)
    assert got == reason
    assert 0 <= score < 0.5
    got, score = judge(facts_of(good), CLEAN)
    assert got == ""
    assert 0.5 <= score <= 1


def test_the_first_reason_in_the_stated_order_wins() -> None:
    assert list(CHECKS) == ["too_small", "extreme_aspect", "blank"]
    assert judge(facts_of(np.full((10, 500, 3), 7, np.uint8)), CLEAN)[0] == "too_small"
    assert judge(facts_of(np.full((100, 600, 3), 7, np.uint8)), CLEAN)[0] == "extreme_aspect"
    assert judge(facts_of(np.full((100, 100, 3), 7, np.uint8)), CLEAN) == ("blank", pytest.approx(0))


def test_measures_have_the_values_that_their_documentation_gives() -> None:
    half = np.zeros((80, 80, 3), np.uint8)
    half[:, 40:] = 255
    got = measure(half)
    assert (got.brightness, got.contrast, got.entropy) == (0.5, 0.5, 1.0)
    flat = measure(np.full((50, 70, 3), 51, np.uint8))
    assert (flat.brightness, flat.contrast, flat.entropy, flat.sharpness) == (0.2, pytest.approx(0, abs=1e-12), 0, 0)
    dots = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    # A chequerboard's Laplacian is +4 and -4 by turns: variance 16.
    assert measure(np.repeat(dots[..., None], 3, axis=2).astype(np.uint8)).sharpness == pytest.approx(16, rel=0.01)


def test_a_blurred_picture_is_less_sharp(picture) -> None:
    sharp = picture(3, 128, 128)
    blurred = sharp.resize((12, 12)).resize((128, 128))
    assert measure(np.asarray(blurred)).sharpness < measure(np.asarray(sharp)).sharpness / 2


def test_a_line_one_pixel_high_is_measured_too() -> None:
    assert measure(noise(1, 300)).sharpness == 0
