"""Copies that hashes cannot see, planted among real photographs: how many are found, and which others are joined.

    python -m benchmarks.near_copies --photos DIR [DIR …]

Each photograph gets one copy: cropped by 5, 10 or 20 %, framed, watermarked, or turned by 2 or 5 degrees; the kinds
take turns. A crop lies anywhere. `clean` are the copies found by hashes and by laying close pictures over each other,
`near` those found in all, with the neighbours by features (efficientnet_lite0). Pairs of different photographs that
are joined are printed, to be looked at: the collection may hold one twice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks.clean import prepare
from benchmarks.support.copies_data import jpeg, watermarked
from preprocessing import clean
from preprocessing.edited_copies import STAGE, find_edited_copies
from preprocessing.images.decode import decode
from training.network import features
from workspace.catalog.records import Download, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.errors import ImageRefused
from workspace.storage.paths import Workspace

Edit = Callable[[Image.Image, np.random.Generator], Image.Image]


def _crop(share: float) -> Edit:
    def edit(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
        x, y = int(rng.integers(0, image.width - width + 1)), int(rng.integers(0, image.height - height + 1))
        return image.crop((x, y, x + width, y + height))

    return edit


def _turn(degrees: float) -> Edit:
    return lambda image, _: image.rotate(degrees, Image.Resampling.BICUBIC)


EDITS: dict[str, Edit] = {
    "crop 5 %": _crop(0.05),
    "crop 10 %": _crop(0.10),
    "crop 20 %": _crop(0.20),
    "border 8 %": lambda image, _: ImageOps.expand(image, round(0.08 * min(image.size)), (255, 255, 255)),
    "watermark": lambda image, _: watermarked(image),
    "turned 2°": _turn(2),
    "turned 5°": _turn(5),
}


def plant(folders: list[Path], place: Path) -> dict[str, str]:
    """Write the photographs and their copies; the kind of each copy by its number."""
    kinds: dict[str, str] = {}
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        try:
            image = Image.fromarray(decode(path.read_bytes()).pixels)
        except ImageRefused:
            continue
        kind = list(EDITS)[number % len(EDITS)]
        copy = EDITS[kind](image, np.random.default_rng(number))
        (place / f"{number:05}-photo-{path.stem}").write_bytes(path.read_bytes())
        (place / f"{number:05}-copy-{path.stem}").write_bytes(jpeg(copy, 85))
        kinds[f"{number:05}"] = kind
    return kinds


def joined(workspace: Workspace) -> set[tuple[str, str]]:
    """The names of each dropped picture and of the one that stays in its place."""
    with workspace.open_catalog() as catalog:
        name = {one.sha256: Path(one.image_url).name for one in catalog.all(Download)}
        drops = [one for one in catalog.all(Verdict) if one.verdict == "drop" and one.group]
    return {(name[one.sha256], name[one.group]) for one in drops if one.sha256 != one.group}


def main() -> None:
    """Plant, clean, compute features, look; print the table and the pairs that were not planted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photographs")
    given = parser.parse_args()
    config = WorkspaceConfig.model_validate(
        {"classes": {"picture": ("picture",), "other": ("other",)}, "train": {"backbone": "efficientnet_lite0"}}
    )
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        kinds = plant(given.photos, pictures)
        workspace = Workspace(Path(folder) / "workspace")
        prepare(pictures, workspace.root)
        seconds = [time.monotonic()]
        clean.run(workspace, config)
        seconds.append(time.monotonic())
        by_clean = joined(workspace)
        features.run(workspace, config)
        seconds.append(time.monotonic())
        with workspace.open_catalog() as catalog:
            catalog.replace_verdicts([STAGE], find_edited_copies(workspace, config, catalog).verdicts)
        seconds.append(time.monotonic())
        by_both = joined(workspace)
    spent = [after - before for before, after in zip(seconds, seconds[1:], strict=False)]
    print("clean {:.0f} s, features {:.0f} s, near copies {:.0f} s".format(*spent))
    print(f"{len(kinds)} photographs, each with one copy\n{'':12} {'planted':>7} {'clean':>7} {'near':>7}")
    for kind in EDITS:
        mine = {number for number, what in kinds.items() if what == kind}
        found = [{a[:5] for a, b in pairs if a[:5] == b[:5]} & mine for pairs in (by_clean, by_both)]
        print(f"{kind:12} {len(mine):7} " + " ".join(f"{len(one) / max(1, len(mine)):7.3f}" for one in found))
    others = sorted({tuple(sorted((a[:5], b[:5]))) for a, b in by_both if a[:5] != b[:5]})
    print(f"{len(others)} pairs of different photographs were joined" + (":" if others else ""))
    for one, other in others:
        print("  " + " | ".join(sorted(path for pair in by_both for path in pair if path[:5] in (one, other))))


if __name__ == "__main__":
    main()
