"""What a picture may look like in training: one clean view, and augmented ones that depend on their key alone."""

from __future__ import annotations

import copy
import os
import random
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from workspace.paths import digest
from workspace.train_config import AugmentConfig

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # before its import, which else asks the network for a newer release

import albumentations as A  # noqa: E402
import cv2  # noqa: E402

VIEWS_VERSION = 1
"""Part of the caches' names: raise it whenever the same picture and key would give another view."""

Pixels = npt.NDArray[np.uint8]

_GREY = 127


@dataclass(frozen=True, slots=True)
class Preset:
    """How strong the augmentation is.

    `crop_scale` is the smallest share of the picture's area that a crop keeps; `colour` the largest change of
    brightness, contrast and saturation (1 ± colour), `hue` that of the hue in turns; `degrees` the largest
    rotation; `jpeg` the lowest quality of compression; `holes` the chance of one or two grey holes.
    """

    name: str
    crop_scale: float
    colour: float = 0.2
    hue: float = 0.05
    degrees: float = 10.0
    jpeg: int = 50
    holes: float = 0.25


PRESETS: tuple[tuple[int, Preset], ...] = (
    (50, Preset("few", 0.5)),
    (201, Preset("some", 0.35)),
    (10**9, Preset("many", 0.2)),
)
"""The preset for fewer than so many pictures per class (issue 5: crops from 0.5, 0.35, 0.2): with few pictures a
small crop too often misses what the picture is about."""


def preset_for(per_class: int) -> Preset:
    """Choose by the number of training pictures of the median class."""
    return next(preset for limit, preset in PRESETS if per_class < limit)


def clean_view(pixels: Pixels, resize_px: int = 256, crop_px: int = 224) -> Pixels:
    """The view that prediction sees: shorter side to `resize_px`, centre cropped; uint8 [h, w, 3] → [crop, crop, 3].

    Only the middle is resized, so a very long picture costs no more than a square one.
    """
    height, width = pixels.shape[:2]
    side = min(height, width) * crop_px / resize_px
    left, top = (width - side) / 2, (height - side) / 2
    if min(height, width) == resize_px:  # nothing to resize: whole pixels, as they are
        left, top = float(int(left)), float(int(top))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    box = (left, top, left + side, top + side)
    return np.array(image.resize((crop_px, crop_px), Image.Resampling.BICUBIC, box=box))


class Augmenter:
    """Makes augmented views, in any thread: albumentations keeps its state in itself, so each thread has its own.

    Args:
        preset: how strong.
        switches: what is allowed.
        size_px: side of the views.
    """

    def __init__(self, preset: Preset, switches: AugmentConfig, size_px: int = 224) -> None:
        self.name = f"{preset.name}-{digest(_numbers(preset), switches.model_dump(), size_px, length=8)}"
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations drops an argument it does not know with only a warning
            self._transforms = _transforms(preset, switches, size_px)
        self._own = threading.local()

    def view(self, pixels: Pixels, key: tuple[int | str, ...]) -> Pixels:
        """One view, uint8 [h, w, 3] → [size, size, 3]: the same for the same pixels and key, whatever came before.

        Args:
            pixels: an upright picture.
            key: (seed, view, sha256).
        """
        # albumentations 2.0.8 gives all transforms of a Compose the same seed, so that their draws go together, and
        # both workers of a loader the same stream. One fresh generator, shared by all transforms, mends both.
        seed = int(digest(*key, length=16), 16)
        if not hasattr(self._own, "compose"):
            self._own.compose = A.Compose(copy.deepcopy(self._transforms))
        self._own.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        view: Pixels = self._own.compose(image=np.ascontiguousarray(pixels))["image"]
        return view


def _numbers(preset: Preset) -> list[object]:
    return [VIEWS_VERSION, preset.crop_scale, preset.colour, preset.hue, preset.degrees, preset.jpeg, preset.holes]


def _transforms(preset: Preset, switches: AugmentConfig, size_px: int) -> list[A.BasicTransform]:
    around_one = (1 - preset.colour, 1 + preset.colour)
    hue = preset.hue if switches.hue else 0.0
    return [
        A.Rotate(limit=preset.degrees, border_mode=cv2.BORDER_REFLECT_101, p=0.5),
        A.RandomResizedCrop(size=(size_px, size_px), scale=(preset.crop_scale, 1.0), area_for_downscale="image", p=1.0),
        A.HorizontalFlip(p=0.5 if switches.flip else 0.0),
        A.VerticalFlip(p=0.5 if switches.vertical_flip else 0.0),
        A.ColorJitter(
            brightness=around_one,
            contrast=around_one,
            saturation=around_one if switches.hue else (1.0, 1.0),
            hue=(-hue, hue),
            p=0.8,
        ),
        A.ImageCompression(quality_range=(preset.jpeg, 95), p=0.3),
        A.CoarseDropout(
            num_holes_range=(1, 2),
            hole_height_range=(0.1, 0.25),
            hole_width_range=(0.1, 0.25),
            fill=_GREY,
            p=preset.holes,
        ),
    ]


def sheet(
    pictures: Sequence[tuple[str, Pixels]], augmenter: Augmenter, seed: int, views: int = 5, side_px: int = 112
) -> Pixels:
    """A page of what training saw: a row per picture, its clean view first, then augmented ones as they were used.

    Args:
        pictures: sha256 and upright pixels uint8 [h, w, 3].
        augmenter: of the training.
        seed: of the run, so that the views are those that were learnt from.
        views: how many beside the clean one.
        side_px: of each.

    Returns:
        uint8 [len(pictures) * side_px, (1 + views) * side_px, 3].
    """
    rows = []
    for key, pixels in pictures:
        row = [clean_view(pixels), *(augmenter.view(pixels, (seed, view, key)) for view in range(1, views + 1))]
        small = [Image.fromarray(one).resize((side_px, side_px), Image.Resampling.BICUBIC) for one in row]
        rows.append(np.concatenate([np.asarray(one) for one in small], axis=1))
    return np.concatenate(rows)
