"""STEP images to features: one forward pass per kept picture, whose results every later step reads from disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch

from preprocessing.decode import DECODER_VERSION, Pixels
from preprocessing.pixels import PixelCache
from training.augment import VIEWS_VERSION, Augmenter, clean_view
from training.backbone import Backbone, load_backbone, normalised
from training.device import Device, choose_device
from workspace.arrays import ArrayStore, point_to_features
from workspace.catalog import Catalog
from workspace.config import WorkspaceConfig
from workspace.curation import FEATURE_STAGES
from workspace.paths import Workspace
from workspace.progress import SILENT, Progress
from workspace.records import StepCounts

_AHEAD = 2  # batches that are made ready while the network works
_HALF_MAX = 65504.0  # largest float16: random weights may exceed it

Keep = Callable[[Sequence[str], npt.NDArray[np.float32], npt.NDArray[np.float16]], None]


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Compute the features of every kept picture that has none yet, and of those that were dropped for their features.

    Raises:
        ConfigError: the backbone or the device is not there.
        WeightsError: its weights are not to be had.
        WorkspaceError: a picture's file is gone, or the disk is full.
    """
    backbone, origin = load_backbone(config.train, config.seed)
    for note in origin.notes():
        progress.say(note)
    with Catalog(workspace.catalog_file) as catalog:
        keys = sorted({sha256 for sha256, _ in catalog.kept(ignoring=FEATURE_STAGES)})
    extractor = Extractor(workspace, config, backbone, choose_device(config.train.device))
    done = extractor.extract_clean(keys, progress)
    point_to_features(workspace, extractor.features)
    return StepCounts("features", done, len(keys) - done, {"pictures": len(keys)}, origin.notes())


class Extractor:
    """Runs a backbone over pictures and keeps what comes out in the workspace's cache.

    `features` holds the pooled features of clean views by sha256, float32 [feature_dim]; `activations` those of the
    prefix, float16 [prefix_shape], for fine-tuning. A folder's name says everything that its numbers depend on. On
    a CPU a picture's numbers do not depend on the batch it is in (a test shows it), so that a resumed run equals a
    whole one.

    Args:
        workspace: whose pictures, and whose cache.
        config: the batch size, the pixels' size, the seed of the augmented views.
        backbone: moved to the device.
        device: where to compute.
    """

    def __init__(self, workspace: Workspace, config: WorkspaceConfig, backbone: Backbone, device: Device) -> None:
        self.spec = spec = backbone.spec
        self._name = (
            f"{spec.name}-{backbone.weights_digest()}-{device.name}-decoder{DECODER_VERSION}-{config.clean.cache_side_px}"
            f"-view{VIEWS_VERSION}-{spec.resize_px}-{spec.crop_px}"
        )
        self._cache = workspace.cache
        self._pixels = PixelCache(workspace, config.clean)
        self._config = config
        self._device = device
        self._backbone = device.put(backbone).eval()
        self.features = ArrayStore(self._cache / f"features-{self._name}")
        self.activations = ArrayStore(self._cache / f"activations-{self._name}")

    def extract_clean(self, keys: Sequence[str], progress: Progress) -> int:
        """Fill `features` and `activations` for these sha256; says how many pictures were computed."""
        missing = sorted({*self.features.missing(keys), *self.activations.missing(keys)})

        def keep(done: Sequence[str], features: npt.NDArray[np.float32], activations: npt.NDArray[np.float16]) -> None:
            self.activations.add(done, activations)
            self.features.add(done, features)

        progress.begin("Computing features", len(missing))
        self._extract(
            missing,
            lambda key: clean_view(self._pixels.read(key), self.spec.resize_px, self.spec.crop_px),
            keep,
            progress,
        )
        return len(missing)

    def features_of(self, pixels: Mapping[str, Pixels], progress: Progress) -> dict[str, npt.NDArray[np.float32]]:
        """Compute the features of pictures from elsewhere, float32 [feature_dim] each; nothing is stored."""
        found: dict[str, npt.NDArray[np.float32]] = {}

        def keep(done: Sequence[str], features: npt.NDArray[np.float32], _: npt.NDArray[np.float16]) -> None:
            found.update(zip(done, features, strict=True))

        progress.begin("Computing features", len(pixels))
        self._extract(
            sorted(pixels), lambda key: clean_view(pixels[key], self.spec.resize_px, self.spec.crop_px), keep, progress
        )
        return found

    def extract_views(self, keys: Sequence[str], augmenter: Augmenter, progress: Progress) -> ArrayStore:
        """Compute the prefix activations of `features.views` augmented views of these sha256.

        Returns:
            float16 [prefix_shape] by `view_key(sha256, view)`, views counted from 1.
        """
        seed = self._config.seed
        store = ArrayStore(self._cache / f"activations-{self._name}-{augmenter.name}-seed{seed}")
        views = {
            view_key(sha256, view): (sha256, view)
            for sha256 in sorted(set(keys))
            for view in range(1, self._config.features.views + 1)
        }

        def make(key: str) -> Pixels:
            sha256, view = views[key]
            return augmenter.view(self._pixels.read(sha256), (seed, view, sha256))

        missing = store.missing(views)
        progress.begin("Augmented views", len(missing))
        self._extract(missing, make, lambda done, _, activations: store.add(done, activations), progress)
        return store

    def _extract(self, keys: Sequence[str], make: Callable[[str], Pixels], keep: Keep, progress: Progress) -> None:
        for batch, views in _prefetched(keys, self._config.features.batch_size, make):
            keep(batch, *self._forward(views))
            progress.advance(len(batch))

    def _forward(self, views: Pixels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float16]]:
        with torch.inference_mode(), self._device.autocast():
            activations = self._backbone.prefix(normalised(self._device.tensor(views), self.spec.mean, self.spec.std))
            features = self._backbone.tail(activations)
            small = activations.clamp(-_HALF_MAX, _HALF_MAX).half()
        return features.float().cpu().numpy(), small.cpu().numpy()


def view_key(sha256: str, view: int) -> str:
    """The key of an augmented view in the cache."""
    return f"{sha256}:{view}"


def _prefetched(
    keys: Sequence[str], size: int, make: Callable[[str], Pixels]
) -> Iterator[tuple[Sequence[str], Pixels]]:
    """Batches of views, made ready by one thread: Pillow and OpenCV work without Python's lock."""

    def ready_batch(batch: Sequence[str]) -> Pixels:
        return np.stack([make(key) for key in batch])

    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: deque[tuple[Sequence[str], Future[Pixels]]] = deque()
        for start in range(0, len(keys), size):
            batch = keys[start : start + size]
            waiting.append((batch, pool.submit(ready_batch, batch)))
            if len(waiting) > _AHEAD:
                first, ready = waiting.popleft()
                yield first, ready.result()
        for first, ready in waiting:
            yield first, ready.result()
