"""STEP images to features: one forward pass per kept picture, whose results every later step reads from disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from preprocessing.images.decode import DECODER_VERSION, Pixels
from preprocessing.images.pixel_cache import PixelCache
from training.network.backbone import Backbone, load_backbone, normalised
from training.network.device import Device, choose_device
from training.network.prefetch import prefetched
from training.network.views import VIEWS_VERSION, clean_view
from workspace.catalog.curation import FEATURE_STAGES
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT, Progress
from workspace.storage.arrays import ArrayStore, point_to_features
from workspace.storage.paths import Workspace


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Compute the features of every kept picture that has none yet, and of those that were dropped for their features.

    Raises:
        ConfigError: the backbone or the device is not there.
        WeightsError: its weights are not to be had.
        WorkspaceError: a picture's file is gone, or the disk is full.
    """
    backbone, origin = load_backbone(config.train, config.seed)
    for note in origin.notes():
        progress.warn(note)
    with workspace.open_catalog() as catalog:
        keys = sorted({sha256 for sha256, _ in catalog.kept(ignoring=FEATURE_STAGES)})
    extractor = Extractor(workspace, config, backbone, choose_device(config.train.device))
    done = extractor.extract_clean(keys, progress)
    point_to_features(workspace, extractor.features)
    return StepCounts("features", done, len(keys) - done, {"pictures": len(keys)}, origin.notes())


class Extractor:
    """Runs a backbone over pictures and keeps what comes out in the workspace's cache.

    `features` holds the last stage's features of clean views by sha256, float32 [feature_dim], and `statistics` those
    of the middle stages, the later first: [2 x channels], means before standard deviations. A folder's name says
    everything that its numbers depend on.
    On a CPU a picture's numbers do not depend on the batch it is in (a test shows it), so that a resumed run equals
    a whole one.

    Args:
        workspace: whose pictures, and whose cache.
        config: the batch size, the pixels' size, the workers.
        backbone: moved to the device.
        device: where to compute.
    """

    def __init__(self, workspace: Workspace, config: WorkspaceConfig, backbone: Backbone, device: Device) -> None:
        self.spec = spec = backbone.spec
        self._name = (
            f"{spec.name.replace(':', '-')}-{backbone.weights_digest()}-{device.name}-decoder{DECODER_VERSION}"
            f"-{config.clean.cache_side_px}-view{VIEWS_VERSION}-{spec.resize_px}-{spec.crop_px}"
        )
        self._cache = workspace.cache
        self.pixels = PixelCache(workspace, config.clean)
        self._config = config
        self._device = device
        self._backbone = device.put(backbone).eval()
        self.features = ArrayStore(self._cache / f"features-{self._name}")
        self.statistics = {
            stage: ArrayStore(self._cache / f"statistics-{stage}-{self._name}")
            for stage in reversed(backbone.stage_names[1:-1])
        }

    def extract_clean(self, keys: Sequence[str], progress: Progress) -> int:
        """Fill `features` and `statistics` for these sha256; says how many pictures were computed."""
        stores = [*self.statistics.values(), self.features]  # the last says that the others are there
        missing = sorted({key for store in stores for key in store.missing(keys)})
        progress.begin("Computing features", len(missing))
        for batch, views in self._views(missing):
            activations, found = self._inputs(views), {}
            with torch.inference_mode(), self._device.autocast():
                for name, stage in self._backbone.stages.named_children():
                    activations = stage(activations)
                    if name in self.statistics:
                        found[name] = self._backbone.statistics(activations).cpu().numpy()
            for name, store in self.statistics.items():
                store.add(batch, found[name])
            self.features.add(batch, activations.float().cpu().numpy())
            progress.advance(len(batch))
        return len(missing)

    def pooled(self, keys: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Every channel's mean over clean views that were extracted: [n, channels] by stage, the last first."""
        found = {stage: store.get(keys) for stage, store in self.statistics.items()}
        means = {stage: rows[:, : rows.shape[1] // 2] for stage, rows in found.items()}
        return {self._backbone.stage_names[-1]: self.features.get(keys)} | means

    def head_features(self, keys: Sequence[str]) -> npt.NDArray[np.float32]:
        """What the head sees of clean views that `extract_clean` has seen: float32 [n, width]."""
        before = list(self.statistics.values())[: self._backbone.head_stages - 1]
        return np.concatenate([store.get(keys) for store in (self.features, *before)], axis=1)

    def features_of(self, pixels: Mapping[str, Pixels], progress: Progress) -> dict[str, npt.NDArray[np.float32]]:
        """Compute the features of pictures from elsewhere, float32 [feature_dim] each; nothing is stored."""
        found: dict[str, npt.NDArray[np.float32]] = {}
        size, names = self._config.features.batch_size, sorted(pixels)
        progress.begin("Computing features", len(names))
        for batch in (names[start : start + size] for start in range(0, len(names), size)):
            views = [clean_view(pixels[name], self.spec.resize_px, self.spec.crop_px) for name in batch]
            with torch.inference_mode(), self._device.autocast():
                features = self._backbone(self._inputs(np.stack(views)))[:, : self.spec.feature_dim]
            found.update(zip(batch, features.float().cpu().numpy(), strict=True))
            progress.advance(len(batch))
        return found

    def _views(self, keys: Sequence[str]) -> Iterator[tuple[Sequence[str], Pixels]]:
        """Batches of clean views, uint8 [n, crop, crop, 3]."""
        size = self._config.features.batch_size
        batches = [keys[start : start + size] for start in range(0, len(keys), size)]

        def make(batch: Sequence[str]) -> Pixels:
            return np.stack(
                [clean_view(self.pixels.read(key), self.spec.resize_px, self.spec.crop_px) for key in batch]
            )

        return prefetched(batches, make, self._device.view_workers(self._config.features.workers))

    def _inputs(self, views: Pixels) -> torch.Tensor:
        return normalised(self._device.tensor(views), self.spec.mean, self.spec.std)
