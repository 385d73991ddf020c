"""The photo sets that training is measured on: collected and cleaned by the project, split into folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.support.package_sets import SETS, prepare
from flows.step_table import step_function
from gallery.site import Gallery
from preprocessing.images.pixel_cache import PixelCache
from training.stats.folds import grouped_folds
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT
from workspace.resolve import open_workspace
from workspace.storage.dataset import read_dataset
from workspace.storage.paths import Workspace

FOLDS = 5

SETS_HELP = f"drawn, {', '.join(SETS)}, folders of photographs or of recorded Openverse answers; parted by commas"


@dataclass(frozen=True, slots=True, eq=False)
class PhotoSet:
    """Images by sha256 with labels int64 [n], groups [n] and the fold [n] in which each is tested."""

    name: str
    workspace: Workspace
    config: WorkspaceConfig
    classes: tuple[str, ...]
    keys: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.str_]
    fold: npt.NDArray[np.int64]

    def files(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """Write the cached pixels of these rows as .png files, so that every peer reads the same pixels."""
        cache = PixelCache(self.workspace, self.config.clean)
        paths = [self.workspace.root / "png" / f"{self.keys[row]}.png" for row in rows]
        for row, path in zip(rows, paths, strict=True):
            if not path.is_file():
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(cache.read(self.keys[row])).save(path)
        return [str(path) for path in paths]


def site_of(name: str, root: Path) -> tuple[Gallery, Sequence[str]]:
    """Choose the gallery that serves a set, and its keywords.

    A set is `drawn`, the name of a package's set, or a folder: of recorded Openverse answers (`search/`, `thumbs/`),
    else of photographs, with a folder per class. What must be made before it can be served is made below `root`.

    Raises:
        SystemExit: no such folder, or the package is not installed.
    """
    if name == "drawn":
        site = Gallery.rendered()
        return site, site.keywords
    folder = prepare(name, root / f"{name}-pictures") if name in SETS else Path(name)
    if not folder.is_dir():
        raise SystemExit(f"there is no folder {folder}; give a folder of photographs, drawn, {' or '.join(SETS)}")
    if (folder / "search").is_dir():
        return Gallery.recorded(folder), ("cat", "dog", "galah", "honey")
    site = Gallery.photos(folder)
    return site, site.keywords


def site_settings(site: Gallery, backbone: str) -> dict[str, object]:
    """Return settings that collect everything a gallery on this machine serves, as fast as it answers."""
    return {
        "train.backbone": backbone,
        "search.openverse.url": site.openverse_url,
        "search.per_class": 10_000,
        "network.allow_private_addresses": True,
        "network.per_host_pause_s": 0,
        "download.per_host_connections": 16,
    }


def collect(name: str, root: Path, backbone: str) -> PhotoSet:
    """Collect and clean a set, see `site_of`, below `root`, or take what is there; the set of a folder has its name."""
    site, keywords = site_of(name, root)
    name = Path(name).resolve().name
    with site:
        workspace, config = open_workspace(root / name, keywords, site_settings(site, backbone))
        for step in ("search", "download", "clean", "split"):
            step_function(step)(workspace, config, SILENT)
    samples = sorted(read_dataset(workspace.latest_run().dataset_file), key=lambda sample: sample.sha256)
    classes = tuple(sorted({sample.label for sample in samples}))
    labels = np.array([classes.index(sample.label) for sample in samples], dtype=np.int64)
    groups = np.array([sample.group or sample.sha256 for sample in samples])
    cache = PixelCache(workspace, config.clean)
    for sample in samples:
        cache.read(
            sample.sha256
        )  # decoded again where the cache is of another version, so that nobody's seconds hold it
    fold = grouped_folds(labels, groups, seed=1000, most=FOLDS)
    if fold is None:
        raise SystemExit(f"{name}: a class has a single group of pictures, so it cannot be parted into folds")
    return PhotoSet(name, workspace, config, classes, tuple(sample.sha256 for sample in samples), labels, groups, fold)
