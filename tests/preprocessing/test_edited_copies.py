from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from preprocessing import clean, curate, edited_copies, neighbours, split
from preprocessing.duplicates import registration, registration_cache
from preprocessing.duplicates.registration import keypoints, register
from preprocessing.edited_copies import find_edited_copies
from workspace.catalog.records import Override, Verdict
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.storage.arrays import ArrayStore
from workspace.storage.dataset import read_dataset


def scene(seed: int, width: int = 400, height: int = 300) -> Image.Image:
    """Shapes of many sizes on a ground of blobs: corners to hold on to, and no two seeds alike."""
    rng = np.random.default_rng(seed)
    ground = Image.fromarray(rng.integers(60, 200, (4, 5, 3), dtype=np.uint8)).resize((width, height), 3)
    draw = ImageDraw.Draw(ground)
    for _ in range(60):
        x, y, size = rng.integers(0, width), rng.integers(0, height), rng.integers(6, 60)
        box = (int(x), int(y), int(x + size), int(y + size * rng.uniform(0.5, 1.5)))
        colour = tuple(rng.integers(0, 256, 3).tolist())
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=colour)
    return ground


def cropped(image: Image.Image, share: float = 0.15) -> Image.Image:
    return image.crop((0, 0, round(image.width * (1 - share)), round(image.height * (1 - share))))


def marked(image: Image.Image) -> Image.Image:
    copy = image.copy()
    ImageDraw.Draw(copy).rectangle((40, 130, 300, 160), fill=(255, 255, 255))
    return copy


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "cropped": cropped,
    "framed": lambda image: ImageOps.expand(image, 30, (255, 255, 255)),
    "marked": marked,
    "turned": lambda image: image.rotate(4, Image.Resampling.BICUBIC),
}


def agreement(one: Image.Image, other: Image.Image):
    left, right = np.asarray(one), np.asarray(other)
    return register(left, right, keypoints(left), keypoints(right))


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_agrees_in_nearly_all_cells(edit) -> None:
    got = agreement(scene(1), EDITS[edit](scene(1)))
    assert registration.is_same(got), got
    assert got.overlap > 0.95


def test_another_picture_agrees_in_few_cells_and_a_plain_one_in_none() -> None:
    assert agreement(scene(1), scene(2)).cells < 0.3
    assert agreement(scene(1), Image.new("RGB", (400, 300), "red")).cells == 0


def test_half_the_picture_is_kin_and_another_colour_is_another_picture() -> None:
    part = agreement(scene(1), scene(1).crop((0, 0, 200, 200)).resize((300, 300)))
    assert part.cells > registration.SAME_CELLS
    assert not registration.is_same(part)
    red, green, blue = scene(1).split()
    recoloured = agreement(scene(1), Image.merge("RGB", (blue, green, red)))
    assert recoloured.cells > registration.NEAR_CELLS
    assert not registration.is_same(recoloured)


EVERY_PAIR = {"workers": 1, "near_cosine": -1.0, "near_neighbours": 20}


@pytest.fixture
def cleaned(collected, encode):
    """Two classes after clean and features: pictures, and copies that hashes do not see."""

    def make(files: list[tuple[str, str, Image.Image]], **clean_settings: object):
        shas = {name: collected.add(encode(image), label, rank=k * 50) for k, (name, label, image) in enumerate(files)}
        config = collected.config(clean={**EVERY_PAIR, **clean_settings}, split={"min_per_class": 3})
        clean.run(collected.workspace, config)
        make_features(collected.workspace, [image for _, _, image in files], list(shas.values()))
        return shas, config

    return make


def make_features(workspace, images: list[Image.Image], shas: list[str]) -> None:
    small = [np.asarray(image.convert("L").resize((12, 12)), np.float32).ravel() for image in images]
    rows = np.stack([one - one.mean() for one in small])
    store = ArrayStore(workspace.cache / "features-test")
    store.add(shas, rows)
    write_atomic(workspace.features_pointer, b"features-test\n")


def found(collected, config) -> list[Verdict]:
    with collected.workspace.open_catalog() as catalog:
        return find_edited_copies(collected.workspace, config, catalog).verdicts


def put(collected, verdicts: list[Verdict]) -> None:
    with collected.workspace.open_catalog() as catalog:
        catalog.replace_verdicts([edited_copies.STAGE], verdicts)


def test_an_approximate_search_is_said_with_its_recall(collected, cleaned, monkeypatch) -> None:
    _, config = cleaned([(name, "a", scene(number)) for number, name in enumerate("abcdefgh")])
    exact = curate.run(collected.workspace, config)
    assert not any("approximate" in note for note in exact.notes) and curate.neighbour_recall(collected.workspace) == 1
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 5)
    monkeypatch.setattr(neighbours, "_PER_CELL", 4)
    monkeypatch.setattr(neighbours, "_BESIDE", 0)
    notes = curate.run(collected.workspace, config).notes
    recall = curate.neighbour_recall(collected.workspace)
    assert 0 < recall < 1
    assert f"the search found {recall:.1%} of the true neighbours" in "".join(notes)


def test_a_crop_gives_way_to_its_original_and_a_second_run_changes_nothing(collected, cleaned, monkeypatch) -> None:
    shas, config = cleaned([("a", "a", scene(1)), ("b", "a", scene(2)), ("crop", "a", cropped(scene(1)))])
    got = found(collected, config)
    assert [(one.sha256, one.verdict, one.reason, one.group) for one in got if one.verdict == "drop"] == [
        (shas["crop"], "drop", "edited_copy", shas["a"])
    ]
    put(collected, got)
    with monkeypatch.context() as patch:  # nor does it compare anything again
        patch.delattr(registration_cache, "register")
        assert found(collected, config) == got


def test_a_crop_under_another_label_stays_where_it_ranked_higher(collected, cleaned) -> None:
    files = [("a", "a", scene(1)), ("x", "b", scene(2)), ("crop", "b", cropped(scene(1)))]
    shas, config = cleaned(files)
    drops = {(one.sha256, one.reason) for one in found(collected, config) if one.verdict == "drop"}
    assert drops == {(shas["crop"], "two_labels")}
    config = collected.config(clean={**EVERY_PAIR, "rank_margin": 1000})
    drops = {(one.sha256, one.reason) for one in found(collected, config) if one.verdict == "drop"}
    assert drops == {(shas["a"], "two_labels"), (shas["crop"], "two_labels")}


def test_a_person_s_word_is_followed(collected, cleaned) -> None:
    shas, config = cleaned([("a", "a", scene(1)), ("crop", "a", cropped(scene(1)))])
    with collected.workspace.open_catalog() as catalog:
        catalog.put([Override(shas["crop"], "a", "keep")])
    assert {one.sha256 for one in found(collected, config) if one.verdict == "drop"} == {shas["a"]}
    with collected.workspace.open_catalog() as catalog:
        catalog.put([Override(shas["crop"], "a", "drop")])
    assert found(collected, config) == []


def test_parts_of_one_picture_stay_in_one_split(collected, cleaned) -> None:
    part = scene(1).crop((0, 0, 200, 200)).resize((300, 300))
    shas, config = cleaned(
        [("a", "a", scene(1)), ("part", "a", part), *((f"{k}", "ab"[k % 2], scene(k)) for k in range(10, 22))],
    )
    got = found(collected, config)
    assert {one.sha256: (one.verdict, one.group) for one in got} == {
        shas["a"]: ("keep", shas["a"]), shas["part"]: ("keep", shas["a"]),
    }  # fmt: skip
    put(collected, got)
    split.run(collected.workspace, config)
    rows = read_dataset(collected.workspace.latest_run().dataset_file)
    groups = {one.sha256: one.group for one in rows}
    assert groups[shas["a"]] == groups[shas["part"]]
    assert len(set(groups.values())) == len(groups) - 1


def test_it_can_be_turned_off_and_needs_features(collected, cleaned) -> None:
    _, config = cleaned([("a", "a", scene(1)), ("crop", "a", cropped(scene(1)))], near_copies=False)
    assert found(collected, config) == []
    collected.workspace.features_pointer.unlink()
    assert found(collected, config) == []
    with pytest.raises(WorkspaceError, match="collect-and-train features"):
        found(collected, collected.config())


def test_clean_finds_a_small_crop_without_features_and_a_person_may_turn_it_off(collected, encode) -> None:
    original = collected.add(encode(scene(3)), "a")
    crop = collected.add(encode(cropped(scene(3), 0.06)), "a")
    collected.add(encode(scene(4)), "a")
    for distance, expected in ((24, {crop: ("edited_copy", original)}), (0, {})):
        clean.run(collected.workspace, collected.config(clean={"workers": 1, "edited_distance": distance}))
        with collected.workspace.open_catalog() as catalog:
            drops = [one for one in catalog.all(Verdict) if one.verdict == "drop"]
        assert {one.sha256: (one.reason, one.group) for one in drops} == expected
