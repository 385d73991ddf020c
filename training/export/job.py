"""What every export of a model starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from preprocessing.images.pixel_cache import PixelCache
from training.inference.classifier import Classifier
from training.inference.export import Pixels, images_to_check
from workspace.catalog.records import Sample
from workspace.config.model import load_config
from workspace.storage.dataset import read_dataset
from workspace.storage.paths import RunFolder, Workspace


@dataclass(frozen=True)
class ExportJob:
    """A run whose model is exported; each part is read when it is first needed, and once for all formats."""

    workspace: Workspace
    run: RunFolder

    @cached_property
    def model(self) -> Classifier:
        """The model, on the CPU."""
        return Classifier.load(self.run.model, "cpu")

    @cached_property
    def samples(self) -> list[Sample]:
        """The dataset that it was trained on."""
        return read_dataset(self.run.dataset_file)

    @cached_property
    def images(self) -> list[Pixels]:
        """Images in full size, uint8 [h, w, 3], that an export is checked on."""
        return images_to_check(self.workspace, self.samples, load_config(self.run.config_file, frozen=True).clean)

    @cached_property
    def cache(self) -> PixelCache:
        """The dataset's pixels, at the size that the model was trained on."""
        clean = load_config(self.run.config_file, frozen=True).clean
        return PixelCache(self.workspace, clean.model_copy(update={"cache_side_px": self.model.card.cache_side_px}))
