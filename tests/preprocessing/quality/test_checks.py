import dataclasses
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from preprocessing import clean
from preprocessing.quality.checks import CHECKS, LIMIT, Check, judge
from preprocessing.quality.statistics import measure
from workspace.catalog.records import ImageFacts
from workspace.config.clean import CleanConfig

CLEAN = CleanConfig()
WORDS = "the quick brown fox jumps over a lazy dog while it rains and nobody looks up".split()  # noqa: SIM905


def facts_of(pixels: np.ndarray | Image.Image, frames: int = 1) -> ImageFacts:
    pixels = np.asarray(pixels)
    height, width = pixels.shape[:2]
    return ImageFacts("x", width=width, height=height, frames=frames, **dataclasses.asdict(measure(pixels)))


def noise(height: int, width: int, spread: float = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(128, spread, (height, width, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)


def scene(level: float = 128, spread: float = 0.6, seed: int = 3) -> Image.Image:
    """A picture with structure at several scales around a grey level."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((240, 320, 3))
    for cells in (4, 8, 16, 32, 64):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        canvas += np.asarray(coarse.resize((320, 240), Image.Resampling.BICUBIC), dtype=float) - 128
    return Image.fromarray(np.clip(level + spread * canvas, 0, 255).astype(np.uint8))


def jpeg(image: Image.Image) -> Image.Image:
    """With what JPEG does to flat colours and edges."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return Image.open(out).convert("RGB")


def page(paper: tuple[int, ...] = (250, 250, 245), ink: tuple[int, ...] = (20, 20, 30), size: int = 16) -> Image.Image:
    image = Image.new("RGB", (340, 256), paper)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    rng = np.random.default_rng(0)
    for y in range(8, 240, int(size * 1.5)):
        draw.text((8, y), " ".join(WORDS[n] for n in rng.integers(len(WORDS), size=9))[:40], ink, font)
    return jpeg(image)


def placeholder(
    text: str, ground: tuple[int, ...] = (238, 238, 238), ink: tuple[int, ...] = (150, 150, 150)
) -> Image.Image:
    image = Image.new("RGB", (400, 300), ground)
    ImageDraw.Draw(image).text((100, 130), text, ink, ImageFont.load_default(24))
    return jpeg(image)


def object_on_white() -> Image.Image:
    """A photograph of a product: most of it is white, and it must not be taken for a placeholder."""
    image = Image.new("RGB", (400, 300), (255, 255, 255))
    image.paste(scene().resize((180, 140)), (110, 80))
    return jpeg(image)


def branches() -> Image.Image:
    """Fine dark lines before a bright sky: many strokes, but no writing."""
    image = Image.new("RGB", (340, 256), (225, 232, 240))
    draw = ImageDraw.Draw(image)
    rng = np.random.default_rng(1)
    for _ in range(60):
        x, y = rng.integers(0, 340), rng.integers(0, 256)
        draw.line([x, y, x + int(rng.integers(-90, 90)), y - int(rng.integers(20, 120))], (70, 55, 40), 2)
    return jpeg(image)


# reason → pictures that fail for it, and pictures close by that do not.
EXAMPLES: dict[str, tuple[list[Callable[[], ImageFacts]], list[Callable[[], ImageFacts]]]] = {
    "too_small": ([lambda: facts_of(noise(63, 200))], [lambda: facts_of(noise(64, 200))]),
    "extreme_aspect": ([lambda: facts_of(noise(64, 321))], [lambda: facts_of(noise(64, 320))]),
    "blank": ([lambda: facts_of(noise(100, 100, spread=2))], [lambda: facts_of(noise(100, 100, spread=20))]),
    "training_refused": (
        [lambda: dataclasses.replace(facts_of(scene()), usage_rights="DMI-PROHIBITED-AIMLTRAINING")],
        [lambda: dataclasses.replace(facts_of(scene()), usage_rights="DMI-PROHIBITED-GENAIMLTRAINING")],
    ),
    "placeholder": (
        [
            lambda: facts_of(placeholder("Image not available")),
            lambda: facts_of(placeholder("No photo", (70, 130, 180), (255, 255, 255))),
            lambda: facts_of(placeholder("이미지 없음 404", (40, 40, 40), (210, 210, 210))),
        ],
        [lambda: facts_of(object_on_white()), lambda: facts_of(scene())],
    ),
    "mostly_text": (
        [
            lambda: facts_of(page()),
            lambda: facts_of(page((20, 20, 60), (230, 230, 200))),
            lambda: facts_of(page(size=24)),
        ],
        [lambda: facts_of(branches()), lambda: facts_of(scene())],
    ),
    "animated": ([lambda: facts_of(scene(), frames=2)], [lambda: facts_of(scene(), frames=1)]),
    "too_dark": ([lambda: facts_of(scene(30, 0.1))], [lambda: facts_of(scene(60, 0.3))]),
    "too_bright": ([lambda: facts_of(scene(252, 0.04))], [lambda: facts_of(scene(220, 0.3))]),
    "low_detail": (
        [lambda: facts_of(np.repeat(np.repeat(noise(8, 8) // 64 * 64, 16, axis=0), 16, axis=1))],
        [lambda: facts_of(scene())],
    ),
    "blurred": (
        [lambda: facts_of(scene().filter(ImageFilter.GaussianBlur(16)))],
        [lambda: facts_of(scene().filter(ImageFilter.GaussianBlur(1)))],
    ),
}


@pytest.mark.parametrize("reason", CHECKS)
def test_each_check_has_examples_that_fail_and_neighbours_that_pass(reason) -> None:
    bad, good = EXAMPLES[reason]
    for make in bad:
        facts = make()
        score = CHECKS[reason].score(facts, CLEAN)
        assert 0 <= score < LIMIT
        found = judge(facts, CLEAN)
        assert (found.outcome, found.reason, found.score) == (CHECKS[reason].outcome, reason, score)
    for make in good:
        facts = make()
        assert LIMIT <= CHECKS[reason].score(facts, CLEAN) <= 1
        assert judge(facts, CLEAN).reason in {"", "low_detail", "blurred"} - {reason}


def test_only_what_is_surely_useless_is_dropped() -> None:
    assert [reason for reason, check in CHECKS.items() if check.outcome == "drop"] == [
        "too_small",
        "extreme_aspect",
        "blank",
    ]
    assert {check.outcome for check in CHECKS.values()} == {"drop", "flag"}


def test_the_first_reason_in_the_stated_order_wins() -> None:
    assert judge(facts_of(np.full((10, 500, 3), 7, np.uint8)), CLEAN).reason == "too_small"
    assert judge(facts_of(np.full((100, 600, 3), 7, np.uint8)), CLEAN).reason == "extreme_aspect"
    found = judge(facts_of(np.full((100, 100, 3), 7, np.uint8)), CLEAN)
    assert (found.outcome, found.reason, found.score) == ("drop", "blank", pytest.approx(0))


def test_every_limit_can_be_turned_off() -> None:
    off = CleanConfig(
        min_side_px=1,
        max_aspect=1000,
        min_contrast=0,
        flag_reserved=False,
        max_two_tone=1,
        max_text=1,
        max_frames=10**6,
        min_highlights=0,
        max_shadows=1,
        min_entropy=0,
        min_sharpness=0,
    )
    for bad, _ in EXAMPLES.values():
        assert judge(bad[0](), off).outcome == "keep"


def test_measures_have_the_values_that_their_documentation_gives() -> None:
    half = np.zeros((80, 80, 3), np.uint8)
    half[:, 40:] = 255
    got = measure(half)
    assert (got.brightness, got.contrast, got.entropy) == (0.5, 0.5, 1.0)
    assert (got.shadows, got.highlights, got.background, got.two_tone, got.text) == (0.0, 1.0, 0.5, 1.0, 0.0)
    flat = measure(np.full((50, 70, 3), 51, np.uint8))
    assert (flat.brightness, flat.contrast, flat.entropy, flat.sharpness) == (0.2, pytest.approx(0, abs=1e-12), 0, 0)
    assert (flat.shadows, flat.highlights, flat.background, flat.two_tone) == (0.2, 0.2, 1.0, 1.0)
    dots = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    # A chequerboard's Laplacian is +4 and -4 by turns: variance 16.
    assert measure(np.repeat(dots[..., None], 3, axis=2).astype(np.uint8)).sharpness == pytest.approx(16, rel=0.01)


def test_percentiles_are_those_of_the_grey_levels() -> None:
    levels = np.random.default_rng(2).integers(0, 200, (100, 100, 1), dtype=np.uint8).repeat(3, axis=2)
    got = measure(levels)
    for value, percent in ((got.shadows, 5), (got.highlights, 99)):
        assert value == pytest.approx(np.percentile(levels[..., 0], percent) / 255, abs=1.5 / 255)


def test_a_blurred_picture_is_less_sharp(picture) -> None:
    sharp = picture(3, 128, 128)
    blurred = sharp.resize((12, 12)).resize((128, 128))
    assert measure(np.asarray(blurred)).sharpness < measure(np.asarray(sharp)).sharpness / 2


def test_a_line_one_pixel_high_is_measured_too() -> None:
    got = measure(noise(1, 300))
    assert (got.sharpness, got.text) == (0, 0)


def test_a_new_check_that_drops_and_a_flag_that_is_set_to_drop_are_counted(collected, encode, monkeypatch) -> None:
    def odd_width(facts: ImageFacts, _: CleanConfig) -> float:
        return 0.0 if facts.width % 2 else 1.0

    monkeypatch.setitem(CHECKS, "odd_width", Check(odd_width, "drop"))
    monkeypatch.setitem(CHECKS, "mostly_text", dataclasses.replace(CHECKS["mostly_text"], outcome="drop"))
    collected.add(encode(scene()), "a")
    collected.add(encode(scene().resize((301, 240))), "a")
    collected.add(encode(page(), "JPEG"), "a")
    counts = clean.run(collected.workspace, collected.config()).by_reason
    assert list(counts.items()) == [("kept", 1), ("same_bytes", 0), ("mostly_text", 1), ("odd_width", 1)]


def test_flags_stay_and_drops_go_in_the_verdicts_of_a_cleaned_workspace(collected, encode) -> None:
    from workspace.catalog.records import Verdict

    flagged = collected.add(encode(page(), "JPEG"), "a")
    dropped = collected.add(encode(Image.new("RGB", (100, 100), (9, 9, 9))), "a")
    fine = collected.add(encode(scene()), "a")
    counts = clean.run(collected.workspace, collected.config())
    assert dict(counts.by_reason) == {"kept": 2, "same_bytes": 0, "blank": 1, "flagged mostly_text": 1}
    with collected.workspace.open_catalog() as catalog:
        checks = {one.sha256: (one.verdict, one.reason) for one in catalog.all(Verdict) if one.stage == "check"}
        assert catalog.kept() == sorted([(flagged, "a"), (fine, "a")])
    assert checks == {flagged: ("flag", "mostly_text"), dropped: ("drop", "blank"), fine: ("keep", "")}
