"""STEP images to features: one forward pass per kept picture, whose results every later step reads from disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from preprocessing.images.decode import DECODER_VERSION, Pixels
from preprocessing.images.pixel_cache import PixelCache
from training.network.backbone import Backbone, load_backbone, normalised
from training.network.device import Device, choose_device
from training.network.prefetch import prefetched
from training.network.view_source import clean_views
from training.network.views import VIEWS_VERSION, clean_view
from workspace.catalog.curation import FEATURE_STAGES
from workspace.catalog.records import StepCounts
from workspace.config.model import WorkspaceConfig
from workspace.errors import ConfigError
from workspace.progress import SILENT, Progress
from workspace.spread.shards import HERE, Spread, divide, side_by_side
from workspace.storage.arrays import ArrayStore, point_to_features
from workspace.storage.paths import Workspace
from workspace.text.counts import counted


def run(
    workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT, *, spread: Spread = HERE
) -> StepCounts:
    """Compute the features of every kept picture that has none yet, and of those that were dropped for their features.

    Args:
        workspace: whose pictures.
        config: the backbone, the device, the batch size.
        progress: advances by each picture.
        spread: where features are computed.

    Raises:
        ConfigError: the backbone or the device is not there, or a worker would compute other numbers than this machine.
        WeightsError: its weights are not to be had.
        WorkspaceError: a picture's file is gone, or the disk is full.
        ShardLost: pictures ended every process that computed them; the features of all others are stored.
    """
    backbone, origin = load_backbone(config.train, config.seed)
    for note in origin.notes():
        progress.warn(note)
    with workspace.open_catalog() as catalog:
        keys = sorted({sha256 for sha256, _ in catalog.kept(ignoring=FEATURE_STAGES)})
    extractor = Extractor(workspace, config, backbone, choose_device(config.train.device))
    done = extractor.extract_clean(keys, progress, spread)
    point_to_features(workspace, extractor.features)
    return StepCounts("features", done, len(keys) - done, {"pictures": len(keys)}, origin.notes())


@dataclass(frozen=True, slots=True)
class FeatureShard:
    """Pictures to compute features of.

    Attributes:
        keys: their sha256.
        workspace: that has them.
        config: the settings, without keys of sources.
        name: of the extractor that is wanted: its network, weights, device and versions.
    """

    keys: Sequence[str]
    workspace: Workspace
    config: WorkspaceConfig
    name: str

    def __str__(self) -> str:
        return f"{counted(len(self.keys), 'picture')} from {self.keys[0]} on"


class FeatureBatch(NamedTuple):
    """Features of some pictures, float32 [n, feature_dim], and statistics by stage, float32 [n, 2 x channels]."""

    keys: Sequence[str]
    features: npt.NDArray[np.float32]
    statistics: Mapping[str, npt.NDArray[np.float32]]


def extract_shard(shard: FeatureShard) -> Iterator[FeatureBatch]:
    """Compute the features of a shard's pictures, a batch at a time; the network is loaded once per process.

    Raises:
        ConfigError: this machine would compute other numbers than those that are wanted.
        WeightsError: the weights are not to be had.
        WorkspaceError: a picture's file is gone.
    """
    extractor = _LOADED.get(shard.name)
    if extractor is None:
        backbone, _ = load_backbone(shard.config.train, shard.config.seed)
        extractor = Extractor(shard.workspace, shard.config, backbone, choose_device(shard.config.train.device))
        if extractor.name != shard.name:
            raise ConfigError(
                f"a worker would compute features {extractor.name}, and the flow's machine {shard.name}, which "
                "training goes on with: give both the same kind of device (train.device, cluster.feature_gpus), "
                "weights and code"
            )
        _LOADED.clear()
        _LOADED[shard.name] = extractor
    yield from extractor.compute(shard.keys, PixelCache(shard.workspace, shard.config.clean))


class Extractor:
    """Runs a backbone over pictures and keeps what comes out in the workspace's cache.

    `features` holds the last stage's features of clean views by sha256, float32 [feature_dim], and `statistics` those
    of the middle stages, the later first: [2 x channels], means before standard deviations. A folder's name says
    everything that its numbers depend on.
    On a CPU a picture's numbers do not depend on the batch it is in, so that a resumed run equals a whole one (a test
    shows it); with one thread and some batch sizes they differ by less than 1e-5.

    Args:
        workspace: whose pictures, and whose cache.
        config: the batch size, the pixels' size, the workers.
        backbone: moved to the device.
        device: where to compute.
    """

    def __init__(self, workspace: Workspace, config: WorkspaceConfig, backbone: Backbone, device: Device) -> None:
        self.spec = spec = backbone.spec
        self.name = (
            f"{spec.name.replace(':', '-')}-{backbone.weights_digest()}-{device.name}-decoder{DECODER_VERSION}"
            f"-{config.clean.cache_side_px}-view{VIEWS_VERSION}-{spec.resize_px}-{spec.crop_px}"
        )
        self._workspace, self._cache = workspace, workspace.cache
        self._middle = tuple(reversed(backbone.stage_names[1:-1]))
        self.pixels = PixelCache(workspace, config.clean)
        self._config = config
        self._device = device
        self._backbone = device.put(backbone).eval()

    @cached_property
    def features(self) -> ArrayStore:
        """The last stage's features."""
        return ArrayStore(self._cache / f"features-{self.name}")

    @cached_property
    def statistics(self) -> Mapping[str, ArrayStore]:
        """The statistics of the middle stages, the later first."""
        return {stage: ArrayStore(self._cache / f"statistics-{stage}-{self.name}") for stage in self._middle}

    def extract_clean(self, keys: Sequence[str], progress: Progress, spread: Spread = HERE) -> int:
        """Fill `features` and `statistics` for these sha256; says how many pictures were computed.

        Raises:
            ShardLost: pictures ended every process that computed them; those of all others are filled in.
        """
        stores = [*self.statistics.values(), self.features]  # the last says that the others are there
        missing = sorted({key for store in stores for key in store.missing(keys)})
        progress.begin("Computing features", len(missing))
        config, whole = self._config.without_keys(), self._config.features.batch_size
        # Whole batches, so that few are padded.
        size = max(1, spread.shard_size() // whole) * whole
        shards = (FeatureShard(some, self._workspace, config, self.name) for some in divide(missing, size))
        _LOADED[self.name] = self  # for shards that are done in this process
        try:
            for batch in spread.run(
                extract_shard, side_by_side(shards), name="features", gpus=self._config.cluster.feature_gpus
            ):
                for stage, store in self.statistics.items():
                    store.add(batch.keys, batch.statistics[stage])
                self.features.add(batch.keys, batch.features)
                progress.advance(len(batch.keys))
        finally:
            _LOADED.pop(self.name, None)
        return len(missing)

    def compute(self, keys: Sequence[str], pixels: PixelCache) -> Iterator[FeatureBatch]:
        """Compute the features of clean views of pictures, a batch at a time, and store nothing.

        A batch is filled up with black pictures to `features.batch_size`: on some processors a number's last digits
        depend on how many pictures are in its batch, and so on what was computed before a run was killed.
        """
        for batch, views in self._views(keys, pixels):
            full = np.zeros((self._config.features.batch_size, *views.shape[1:]), views.dtype)
            full[: len(batch)] = views
            activations, found = self._inputs(full), {}
            with torch.inference_mode(), self._device.autocast():
                for stage, layers in self._backbone.stages.named_children():
                    activations = layers(activations)
                    if stage in self._middle:
                        found[stage] = self._backbone.statistics(activations)[: len(batch)].cpu().numpy()
            yield FeatureBatch(batch, activations[: len(batch)].float().cpu().numpy(), found)

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

    def _views(self, keys: Sequence[str], pixels: PixelCache) -> Iterator[tuple[Sequence[str], Pixels]]:
        """Batches of clean views, uint8 [n, crop, crop, 3]."""
        size = self._config.features.batch_size
        make = partial(clean_views, pixels, self.spec)
        return prefetched([*divide(keys, size)], make, self._device.view_workers(self._config.features.workers))

    def _inputs(self, views: Pixels) -> torch.Tensor:
        return normalised(self._device.tensor(views), self.spec.mean, self.spec.std)


_LOADED: dict[str, Extractor] = {}
"""The extractor of this process by name: a worker loads its network once, and keeps it."""
