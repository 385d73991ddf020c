"""What every export of a model starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from preprocessing.images.pixel_cache import PixelCache
from training.inference.classifier import Classifier, decoding_limits
from training.inference.export import Pixels, images_to_check
from workspace.catalog.records import Sample
from workspace.config.model import WorkspaceConfig, load_config
from workspace.storage.dataset import read_dataset, read_negatives
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder


@dataclass(frozen=True)
class ExportJob:
    """A run whose model is exported; each part is read when it is first needed, and once for all formats.

    Attributes:
        workspace: whose run.
        run: where its files are.
        max_fall: by how much accuracy, calibration error or refusal of a file for devices may be worse than those of
            the model, in [0, 1]; None: by one standard error of the test accuracy.
        force: such a file is written even if it is worse by more, or cannot be measured here.
    """

    workspace: Workspace
    run: RunFolder
    max_fall: float | None = None
    force: bool = False

    @cached_property
    def settings(self) -> WorkspaceConfig:
        """The settings that the run was frozen with."""
        return load_config(self.run.config_file, frozen=True)

    @cached_property
    def model(self) -> Classifier:
        """The model, on the CPU."""
        return Classifier.load(self.run.model, "cpu")

    @cached_property
    def samples(self) -> list[Sample]:
        """The dataset that it was trained on."""
        return read_dataset(self.run.dataset_file)

    @cached_property
    def negatives(self) -> list[Sample]:
        """The negatives of the run: those of the split `test` measure, the others have set the limits."""
        return read_negatives(self.run.negatives_file)

    @cached_property
    def images(self) -> list[Pixels]:
        """Images in full size, uint8 [h, w, 3], that an export is checked on."""
        return images_to_check(self.workspace, self.samples, self.settings.clean)

    @cached_property
    def cache(self) -> PixelCache:
        """The dataset's pixels, at the size that the model was trained on."""
        return PixelCache(self.workspace, decoding_limits(self.model, self.settings.clean))
