"""Recall of the approximate search for neighbours on features of photographs, against the exact one.

    python -m benchmarks.neighbours --photos DIR [DIR …] [--views 20] [--size 112] [--cells 50,1000] [--beside 15,63]
                                    [--keep FILE] [--half 1]

Every photograph gives so many views (crops, mirror images, colours, as training draws them) of `--size` px, and each
view its features (efficientnet_lite0), which FILE keeps for another run. Then the search is made with so many cells
and so many of them beside each item's own: a million pictures have `1,000,000 / _PER_CELL` cells. `all` is the share
of the nearest neighbours of 2,000 views that is found, `same` of those that are views of the same photograph, as
edited copies are, and `compared` the share of all pairs that it takes. `--half` measures on every other photograph:
settings chosen on one half are shown on the other. Whatever `clean` asks for by default is asked.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from preprocessing import neighbours
from preprocessing.images.decode import Pixels, decode_small
from training.inference.predict import image_files
from training.network.backbone import load_backbone, normalised
from training.network.device import choose_device
from training.network.views import PRESETS, Augmenter, clean_view
from workspace.config.clean import CleanConfig
from workspace.config.train import AugmentConfig, TrainConfig
from workspace.errors import ImageRefused

_SAMPLE = 2_000
_BATCH = 64


def read_photographs(folders: Sequence[Path], clean: CleanConfig) -> list[Pixels]:
    """Read every picture below these folders, shrunk as the cache holds them."""
    found = []
    for file in sorted(image_files(list(folders))):
        try:
            found.append(decode_small(file.read_bytes(), clean)[1])
        except ImageRefused:
            continue
    return found


def features_of_views(photographs: Sequence[Pixels], views: int, size_px: int) -> npt.NDArray[np.float32]:
    """Compute the features of views, float32 [photographs * views, dim]: those of one photograph in a row."""
    backbone, _ = load_backbone(TrainConfig(backbone="efficientnet_lite0"), seed=0)
    device = choose_device("cpu")
    device.put(backbone).eval()
    augmenter = Augmenter(PRESETS["medium"], AugmentConfig(), size_px)
    resize_px = round(size_px * backbone.spec.resize_px / backbone.spec.crop_px)
    rows = []
    for start in range(0, len(photographs) * views, _BATCH):
        batch = []
        for number in range(start, min(start + _BATCH, len(photographs) * views)):
            pixels, view = photographs[number // views], number % views
            batch.append(augmenter.view(pixels, (0, number)) if view else clean_view(pixels, resize_px, size_px))
        inputs = normalised(device.tensor(np.stack(batch)), backbone.spec.mean, backbone.spec.std)
        with torch.inference_mode():
            found = backbone(inputs)
        rows.append(found[:, : backbone.spec.feature_dim].numpy())
    return np.concatenate(rows)


def measure(features: npt.NDArray[np.float32], photograph: npt.NDArray[np.intp], cells: int, beside: int) -> str:
    """Search with these settings and compare with the exact answer for a sample of the rows."""
    clean, total = CleanConfig(), len(features)
    sample = np.sort(np.random.default_rng(1).choice(total, min(total, _SAMPLE), replace=False))
    vectors = neighbours.unit(features)
    exact = neighbours.near_pairs(
        vectors[sample], vectors, clean.near_neighbours, clean.near_cosine, (sample, np.arange(total))
    )
    true = np.sort(np.stack([sample[exact[:, 0]], exact[:, 1]], axis=1), axis=1)
    neighbours.EXACT_UP_TO, neighbours._PER_CELL, neighbours._BESIDE = 0, total // cells, beside
    began, spent = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        pairs, own = neighbours.pairs_within(
            lambda rows: features[rows], total, clean.near_neighbours, clean.near_cosine, Path(scratch)
        )
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    hit = np.isin(true @ [total, 1], pairs @ [total, 1])
    same = photograph[true[:, 0]] == photograph[true[:, 1]]
    share = min(1.0, (1 + beside) / cells)
    recall = f"{hit.mean():7.4f} {hit[same].mean():7.4f} {own:9.4f}"
    return f"{cells:6} {beside:7} {share:9.4f} {recall} {seconds:8.1f} {cpu:7.1f}"


def main() -> None:
    """Make or read the features, search with each setting, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    parser.add_argument("--views", type=int, default=20, help="of each photograph")
    parser.add_argument("--size", type=int, default=112, help="side of a view in px")
    parser.add_argument("--cells", default="50,1000", help="comma-separated")
    parser.add_argument("--beside", default="15,63", help="comma-separated")
    parser.add_argument("--keep", type=Path, help="an .npy file for the features, made where it is missing")
    parser.add_argument("--half", type=int, choices=[0, 1, 2], default=0, help="of the photographs; 0: all of them")
    given = parser.parse_args()
    if given.keep and given.keep.is_file():
        features = np.load(given.keep)
    else:
        features = features_of_views(read_photographs(given.photos, CleanConfig()), given.views, given.size)
        if given.keep:
            np.save(given.keep, features)
    photograph = np.arange(len(features)) // given.views
    if given.half:
        features, photograph = (rows[photograph % 2 == given.half - 1] for rows in (features, photograph))
    print(f"{len(features):,} views of {len(set(photograph.tolist())):,} photographs\n")
    print(" cells  beside  compared     all    same  reported  seconds   CPU s")
    for cells in map(int, given.cells.split(",")):
        for beside in map(int, given.beside.split(",")):
            print(measure(features, photograph, cells, beside), flush=True)


if __name__ == "__main__":
    main()
