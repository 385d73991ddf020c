"""STEP images to features: one forward pass per kept picture, whose results every later step reads from disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from preprocessing.images.decode import DECODER_VERSION, Pixels
from preprocessing.images.pixel_cache import PixelCache
from training.network.backbone import Backbone, load_backbone, normalised
from training.network.device import Device, choose_device
from training.network.prefetch import prefetched
from training.network.views import VIEWS_VERSION, Augmenter, clean_view
from workspace.catalog.curation import FEATURE_STAGES
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT, Progress
from workspace.storage.arrays import ArrayStore, point_to_features
from workspace.storage.paths import Workspace

_HALF_MAX = 65504.0  # largest float16: random weights may exceed it


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


@dataclass(frozen=True, slots=True)
class CachedViews:
    """The views of pictures by `view_key(sha256, view)`; view 0 is the clean one, `views` counts the others.

    `activations` are float16 and what the open stages start from, None when none is open; `features` are float32
    [width], of the network before any of it is trained.
    """

    activations: ArrayStore | None
    features: ArrayStore
    views: int

    def features_of(self, keys: Sequence[str]) -> npt.NDArray[np.float32]:
        """Features of every view of these pictures, float32 [n, 1 + views, width]."""
        names = [view_key(key, view) for key in keys for view in range(self.views + 1)]
        found = self.features.get(names)
        return found.reshape(len(keys), self.views + 1, -1)


class Extractor:
    """Runs a backbone over pictures and keeps what comes out in the workspace's cache.

    `features` holds the last stage's features of clean views by sha256, float32 [feature_dim], and `statistics` those
    of the middle stages, the later first: [2 x channels], means before standard deviations. A folder's name says
    everything that its numbers depend on.
    On a CPU a picture's numbers do not depend on the batch it is in (a test shows it), so that a resumed run equals
    a whole one.

    Args:
        workspace: whose pictures, and whose cache.
        config: the batch size, the pixels' size, the seed and number of the augmented views, the workers.
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
        self._pixels = PixelCache(workspace, config.clean)
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
        for batch, views in self._views([(key, 0) for key in missing], None):
            activations, found = self._inputs(views), {}
            with torch.inference_mode(), self._device.autocast():
                for name, stage in self._backbone.stages.named_children():
                    activations = stage(activations)
                    if name in self.statistics:
                        found[name] = self._backbone.statistics(activations).cpu().numpy()
            for name, store in self.statistics.items():
                store.add([key for key, _ in batch], found[name])
            self.features.add([key for key, _ in batch], activations.float().cpu().numpy())
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

    def extract_views(self, keys: Sequence[str], augmenter: Augmenter, progress: Progress) -> CachedViews:
        """Compute the clean view and `features.views` augmented views of these sha256, as far as the frozen stages.

        What the open stages make of them is not part of it, except for the features of the whole network as it is.
        """
        name = f"{self._name}-{augmenter.name}-seed{self._config.seed}-head{self._backbone.head_stages}"
        cut = self._backbone.stage_names[-len(self._backbone.tail) :][0] if len(self._backbone.tail) else ""
        found = CachedViews(
            ArrayStore(self._cache / f"activations-{cut}-{name}") if cut else None,
            ArrayStore(self._cache / f"features-{name}"),
            self._config.features.views,
        )
        if found.activations is None:  # what extract_clean has seen need not be seen again
            seen = [key for key in sorted(set(keys)) if key in self.features and view_key(key, 0) not in found.features]
            if seen:
                found.features.add([view_key(key, 0) for key in seen], self.head_features(seen))
        wanted = [(key, view) for key in sorted(set(keys)) for view in range(found.views + 1)]
        missing = [
            (key, view)
            for key, view in wanted
            if view_key(key, view) not in found.features
            or (found.activations is not None and view_key(key, view) not in found.activations)
        ]
        progress.begin("Augmented views", len(missing))
        for batch, views in self._views(missing, augmenter):
            with torch.inference_mode(), self._device.autocast():
                activations, features = self._backbone.run(self._inputs(views))
                small = activations.clamp(-_HALF_MAX, _HALF_MAX).half()
            names = [view_key(key, view) for key, view in batch]
            if found.activations is not None:
                found.activations.add(names, small.cpu().numpy())
            found.features.add(names, features.float().cpu().numpy())
            progress.advance(len(batch))
        return found

    def _views(
        self, wanted: Sequence[tuple[str, int]], augmenter: Augmenter | None
    ) -> Iterator[tuple[Sequence[tuple[str, int]], Pixels]]:
        """Batches of views, uint8 [n, crop, crop, 3]; view 0 is the clean one."""
        size = self._config.features.batch_size
        batches = [wanted[start : start + size] for start in range(0, len(wanted), size)]

        def make(batch: Sequence[tuple[str, int]]) -> Pixels:
            return np.stack([self._view(key, view, augmenter) for key, view in batch])

        return prefetched(batches, make, self._config.features.workers)

    def _view(self, key: str, view: int, augmenter: Augmenter | None) -> Pixels:
        pixels = self._pixels.read(key)
        if view and augmenter:
            return augmenter.view(pixels, (self._config.seed, view, key))
        return clean_view(pixels, self.spec.resize_px, self.spec.crop_px)

    def _inputs(self, views: Pixels) -> torch.Tensor:
        return normalised(self._device.tensor(views), self.spec.mean, self.spec.std)


def view_key(sha256: str, view: int) -> str:
    """The key of a view in the cache."""
    return f"{sha256}:{view}"
