"""The images that training sees: cut from the pixel cache, clean or augmented anew in every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preprocessing.images.decode import Pixels
from preprocessing.images.pixel_cache import PixelCache
from training.network.registry import BackboneSpec
from training.network.views import Augmenter, clean_view


@dataclass(frozen=True, slots=True)
class ViewSource:
    """Makes views of images by sha256, in any thread or process.

    Attributes:
        pixels: where the images are.
        augmenter: draws their augmented views.
        spec: the network that they are cut for.
        seed: of the draws.
    """

    pixels: PixelCache
    augmenter: Augmenter
    spec: BackboneSpec
    seed: int

    def clean(self, keys: Sequence[str]) -> Pixels:
        """Cut the views that prediction sees: uint8 [n, crop, crop, 3]."""
        return clean_views(self.pixels, self.spec, keys)

    def augmented(self, keys: Sequence[str], epoch: int) -> Pixels:
        """Draw one view of each image, uint8 [n, crop, crop, 3], which follows from seed, epoch (from 0) and sha256."""
        return np.stack([self.augmenter.view(self.pixels.read(key), (self.seed, 1 + epoch, key)) for key in keys])


def clean_views(pixels: PixelCache, spec: BackboneSpec, keys: Sequence[str]) -> Pixels:
    """Cut the views of images by sha256 that prediction sees: uint8 [n, crop, crop, 3]."""
    return np.stack([clean_view(pixels.read(key), spec.resize_px, spec.crop_px) for key in keys])
