"""Two picture sets from Debian packages: cut-out objects on white, and drawn icons.

They are unlike photographs in the two ways that matter to training: no background tells the class, or no object of
ImageNet is there. `apt-get install tuxpaint-stamps-default oxygen-icon-theme`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

SMALLEST_PX, LARGEST_PX = 256, 2000
"""Smaller pictures are enlarged to this, for cleaning drops them; larger ones are left out."""

PER_CLASS = 100


@dataclass(frozen=True, slots=True)
class PackageSet:
    """A Debian package, its folder, and the sub-folder of every class."""

    package: str
    folder: Path
    classes: Mapping[str, str]


SETS: Mapping[str, PackageSet] = {
    "stamps": PackageSet(
        "tuxpaint-stamps-default",
        Path("/usr/share/tuxpaint/stamps"),
        {
            "birds": "animals/birds",
            "mammals": "animals/mammals",
            "insects": "animals/insects",
            "fruit": "food/fruit",
            "vegetables": "food/vegetables",
            "flowers": "plants/flowers",
            "houses": "town/houses",
            "roadsigns": "town/roadsigns",
            "money": "symbols/money",
            "christmas": "seasonal/christmas",
        },
    ),
    "icons": PackageSet(
        "oxygen-icon-theme",
        Path("/usr/share/icons/oxygen/base/128x128"),
        {name: name for name in ("actions", "apps", "categories", "devices", "mimetypes", "places", "status")},
    ),
}


def installed_sets() -> list[str]:
    """The names of the sets whose package is installed."""
    return [name for name, package_set in SETS.items() if package_set.folder.is_dir()]


def prepare(name: str, target: Path) -> Path:
    """Write a set's pictures as RGB on white below `target`, a folder per class; returns `target`.

    Raises:
        SystemExit: the package is not installed.
    """
    found = SETS[name]
    if not found.folder.is_dir():
        raise SystemExit(f"{name} needs the pictures of a Debian package: apt-get install {found.package}")
    if target.is_dir():
        return target
    seen = set()
    for label, below in found.classes.items():
        files = sorted(file for file in (found.folder / below).rglob("*.png") if not file.is_symlink())
        for file in files[:PER_CLASS]:
            with Image.open(file) as opened:
                picture = opened.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
            if max(picture.size) > LARGEST_PX or picture.tobytes() in seen:
                continue
            seen.add(picture.tobytes())
            scale = max(1.0, SMALLEST_PX / min(picture.size))
            size = tuple(max(SMALLEST_PX, round(side * scale)) if scale > 1 else side for side in picture.size)
            (target / label).mkdir(parents=True, exist_ok=True)
            picture.resize((size[0], size[1]), Image.Resampling.BICUBIC).save(target / label / file.name)
    return target
