from __future__ import annotations

import os
import warnings

import albumentations
import numpy as np
import pytest

from training.network.views import PRESETS, Augmenter, clean_view, sheet
from workspace.config.train import AugmentConfig
from workspace.storage.model_card import Input, ModelCard, Preset, TrainedOn


def picture(height: int = 256, width: int = 300, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ramp = np.linspace(20, 200, width)[None, :, None] + np.zeros((height, 1, 3))
    return np.clip(ramp + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)


def card(augmentation) -> ModelCard:
    return ModelCard(
        format=2,
        classes=("a", "b"),
        backbone="efficientnet_lite0",
        input=Input(resize_px=128, crop_px=96, mean=(0.5,) * 3, std=(0.5,) * 3),
        cache_side_px=256,
        trained_on=TrainedOn(train=2, val=0),
        augmentation=augmentation,
    )


def augmenter(strength: str = "medium", **switches: bool) -> Augmenter:
    return Augmenter(PRESETS[strength], AugmentConfig(strength=strength, **switches))


def test_a_view_depends_on_its_key_alone():
    keys = [(seed, view, sha) for seed in (0, 1) for view in (1, 2) for sha in ("a" * 64, "b" * 64)]
    here, there = augmenter(), augmenter()
    forward = {key: here.view(picture(), key) for key in keys}
    backward = {key: there.view(picture(), key) for key in reversed(keys)}
    assert all(np.array_equal(forward[key], backward[key]) for key in keys)
    assert forward[keys[0]].shape == (224, 224, 3)
    assert forward[keys[0]].dtype == np.uint8
    assert len({view.tobytes() for view in forward.values()}) == len(keys)


def test_the_transforms_draw_independently():
    """With Compose(seed=…) of 2.0.8 every transform starts from the same number, so their chances go together."""
    made = augmenter()
    mirrored, holes = [], []
    for number in range(120):
        view = made.view(picture(), (0, 1, str(number))).astype(float)
        mirrored.append(view[:, :60].mean() > view[:, -60:].mean())
        holes.append((view == 127).all(axis=2).mean() > 0.005)
    both = np.mean(np.array(mirrored) & np.array(holes))
    assert 0.35 < np.mean(mirrored) < 0.65
    assert 0.12 < np.mean(holes) < 0.4
    assert abs(both - np.mean(mirrored) * np.mean(holes)) < 0.08


def test_flip_off_never_mirrors():
    made = augmenter(flip=False)
    for number in range(40):
        view = made.view(picture(), (0, 1, str(number))).astype(float)
        assert view[:, :60].mean() < view[:, -60:].mean()


def test_vertical_flip_turns_pictures_over():
    tall = np.ascontiguousarray(picture(300, 256).transpose(1, 0, 2))
    over = {
        on: np.mean(
            [
                (view := augmenter(vertical_flip=on).view(tall, (0, 1, str(number))).astype(float))[:60].mean()
                > view[-60:].mean()
                for number in range(30)
            ]
        )
        for on in (False, True)
    }
    assert over[False] == 0
    assert 0.2 < over[True] < 0.8


def test_hue_off_keeps_the_colour():
    red = np.clip(np.array([180, 60, 60]) + np.random.default_rng(0).normal(0, 10, (256, 256, 1)), 0, 255)
    red = np.broadcast_to(red, (256, 256, 3)).astype(np.uint8)
    gap = {
        on: max(
            abs(float(np.diff(augmenter(hue=on).view(red, (0, 1, str(number))).reshape(-1, 3).mean(0)[1:])[0]))
            for number in range(20)
        )
        for on in (False, True)
    }
    assert gap[False] < 3 < 10 < gap[True]


def test_a_stronger_preset_leaves_less_of_the_picture():
    ramp = np.linspace(0, 255, 256, dtype=np.uint8)
    pixels = np.stack([*np.meshgrid(ramp, ramp), np.full((256, 256), 90, np.uint8)], axis=2)

    def change(strength: str) -> float:
        views = [augmenter(strength, flip=False).view(pixels, (0, 1, str(number))) for number in range(40)]
        return float(np.mean([np.abs(view.astype(float) - clean_view(pixels)).mean() for view in views]))

    light, medium, strong = map(change, PRESETS)
    assert light < 0.8 * medium < 0.8 * strong
    assert AugmentConfig().strength == "light"


def test_the_name_says_what_the_views_depend_on():
    names = [augmenter().name, augmenter(flip=False).name, augmenter(hue=False).name, augmenter("strong").name]
    assert len(set(names)) == 4
    assert augmenter().name == names[0]


def test_an_argument_that_albumentations_does_not_know_is_an_error(monkeypatch):
    flip = albumentations.HorizontalFlip
    monkeypatch.setattr(albumentations, "HorizontalFlip", lambda p: flip(p=p, probability=p))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UserWarning, match="probability"):
            augmenter()


def test_albumentations_does_not_ask_the_network():
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"


def test_the_clean_view_is_the_middle_pixel_for_pixel():
    pixels = picture(256, 301)
    assert np.array_equal(clean_view(pixels), pixels[16:240, 38:262])


@pytest.mark.parametrize("size", [(80, 60), (64, 1000), (512, 384), (1, 7)])
def test_the_clean_view_of_any_size_keeps_the_middle(size):
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    pixels = np.stack([255 * rows / size[0], 255 * columns / size[1], 0 * rows], axis=2).astype(np.uint8)
    view = clean_view(pixels)
    assert view.shape == (224, 224, 3)
    height, width = size
    share = 224 / 256 * min(size) / np.array([height, width])
    assert view[..., 0].mean() == pytest.approx(pixels[..., 0].mean(), abs=4)
    spread = view[..., 1].max().astype(float) - view[..., 1].min()
    assert spread == pytest.approx(255 * share[1], abs=255 / width + 8)


def test_the_sheet_shows_the_views_that_are_learnt_from():
    pictures = [("a" * 64, picture()), ("b" * 64, picture(seed=1))]
    made = Augmenter(PRESETS["light"], AugmentConfig(hue=False), 96)
    page = sheet(pictures, card(made.record(seed=4, views=3)), side_px=96)
    assert page.shape == (2 * 100, 4 * 100, 3)
    assert np.array_equal(page[:96, :96], clean_view(pictures[0][1], 128, 96))
    assert np.array_equal(page[100:196, 200:296], made.view(pictures[1][1], (4, 2, "b" * 64)))
    assert (page[:, 96:100] == 255).all() and (page[96:100] == 255).all()
    assert sheet(pictures, card(made.record(seed=4, views=9))).shape == (2 * 116, 6 * 116, 3)


def test_no_sheet_is_drawn_of_what_is_not_known_or_would_be_drawn_otherwise():
    pictures, made = [("a" * 64, picture())], augmenter()
    assert sheet(pictures, card(None)) is None
    other = made.record(seed=4, views=3).model_copy(update={"name": "few-0"})
    assert sheet(pictures, card(other)) is None


def test_the_caches_of_before_keep_their_names():
    presets = Preset("few", 0.5), Preset("some", 0.35), Preset("many", 0.2)
    names = [Augmenter(preset, AugmentConfig()).name for preset in presets]
    assert names == ["few-bec678d3", "some-0727356b", "many-41893eea"]
