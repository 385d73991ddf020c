"""Views of an image: the clean one that prediction uses, and augmented ones that depend on their key alone."""

from __future__ import annotations

import copy
import os
import random
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import astuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from workspace.config.train import AugmentConfig
from workspace.digest import digest
from workspace.storage.model_card import Augmentation, ModelCard, Preset

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # before its import, which else asks the network for a newer release

import albumentations as A  # noqa: E402
import cv2  # noqa: E402

VIEWS_VERSION = 1
"""Part of the names of caches; raise it whenever the same image and key would give another view."""

VIEWS_SHOWN = 5
"""Most augmented views of an image on the report's sheet."""

Pixels = npt.NDArray[np.uint8]

_GREY, _WHITE = 127, 255
_GAP = ((0, 4), (0, 4), (0, 0))  # below and beside a view on the sheet


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("light", 0.7, colour=0.1, hue=0.0, degrees=0.0, jpeg=90, holes=0.0),
        Preset("medium", 0.5),
        Preset("strong", 0.2),
    )
}
"""By `augment.strength`; light is what measured best (docs/decisions/0011-what-the-head-sees.md)."""


def clean_view(pixels: Pixels, resize_px: int = 256, crop_px: int = 224) -> Pixels:
    """Resize the shorter side to `resize_px` and crop the centre; uint8 [h, w, 3] → [crop, crop, 3].

    Only the crop is resized, so a very long image costs no more than a square one.
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
        numbers = [VIEWS_VERSION, *astuple(preset)[1:]]  # without the preset's name: equal numbers, equal views
        allowed = switches.model_dump(exclude={"strength"})  # the numbers say it; older cards have no such setting
        self.name = f"{preset.name}-{digest(numbers, allowed, size_px, length=8)}"
        self._made_of = (preset, switches, size_px)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations drops an argument it does not know with only a warning
            self._transforms = _transforms(preset, switches, size_px)
        self._own = threading.local()

    def __reduce__(self) -> tuple[type[Augmenter], tuple[Preset, AugmentConfig, int]]:
        """To another process it goes as what it was made of: each thread has transforms of its own."""
        return Augmenter, self._made_of

    def record(self, seed: int, views: int) -> Augmentation:
        """Describe, for the model card, so many views of each image drawn with this seed."""
        preset, switches, size_px = self._made_of
        every = AugmentConfig(**switches.model_dump())  # also those that nobody set are written
        return Augmentation(name=self.name, preset=preset, switches=every, size_px=size_px, views=views, seed=seed)

    @classmethod
    def of(cls, record: Augmentation) -> Augmenter | None:
        """Make the augmenter of a model card; None where this version would draw other views."""
        made = cls(record.preset, record.switches, record.size_px)
        return made if made.name == record.name else None

    def view(self, pixels: Pixels, key: tuple[int | str, ...]) -> Pixels:
        """Draw a view, uint8 [h, w, 3] → [size, size, 3]; it depends on pixels and key alone.

        Args:
            pixels: an upright image.
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


def sheet(images: Sequence[tuple[str, Pixels]], card: ModelCard, side_px: int = 112) -> Pixels | None:
    """Draw the views of training: a row per image, its clean view first, then augmented ones.

    Args:
        images: sha256 and upright pixels uint8 [h, w, 3] from the cache of the card's `cache_side_px`.
        card: of the model that was trained; says which preset, sizes, seed and number of views.
        side_px: of each view on the sheet.

    Returns:
        uint8 [len(images) * cell, (1 + views) * cell, 3], a cell being `side_px` and a white gap, with at most
        VIEWS_SHOWN views; None where training used no augmented views, or the card does not say which, or this
        program would draw other ones.
    """
    used = card.augmentation
    augmenter = Augmenter.of(used) if used and used.views else None
    if used is None or augmenter is None:
        return None
    numbers, rows = range(1, min(used.views, VIEWS_SHOWN) + 1), []
    for key, pixels in images:
        clean = clean_view(pixels, card.input.resize_px, card.input.crop_px)
        row = [clean, *(augmenter.view(pixels, (used.seed, number, key)) for number in numbers)]
        small = [Image.fromarray(view).resize((side_px, side_px), Image.Resampling.BICUBIC) for view in row]
        rows.append(np.concatenate([np.pad(np.asarray(view), _GAP, constant_values=_WHITE) for view in small], axis=1))
    return np.concatenate(rows)
