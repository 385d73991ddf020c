from pathlib import Path

import pytest
from PIL import Image

from preprocessing import clean
from preprocessing.images.decode import decode
from workspace.catalog.records import Verdict

PHOTOS = Path(__file__).resolve().parents[3].parent / "shared" / "photos"

pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is not here")


def test_planted_copies_among_photographs_are_found_and_nothing_else(collected, encode) -> None:
    bears = sorted(path for path in (PHOTOS / "bears").rglob("*") if path.is_file())[::6]
    fields = sorted((PHOTOS / "aerial").rglob("*.jpg"))[::18]
    copies = {}
    originals = [(collected.add(path.read_bytes(), "a"), path) for path in [*bears, *fields]]
    for index, (original, path) in enumerate(originals):
        image = Image.fromarray(decode(path.read_bytes()).pixels)
        half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
        options = [
            ("same_pixels", lambda image=image: encode(image, "BMP")),
            ("near_copy", lambda half=half: encode(half, "JPEG", quality=85)),
            ("near_copy", lambda image=image: encode(image, "JPEG", quality=40)),
            ("mirrored_copy", lambda image=image: encode(image.transpose(0), "JPEG", quality=85)),
        ]
        if index % 2:
            reason, make = options[index // 2 % 4]
            copies[collected.add(make(), "a")] = (original, reason)
    clean.run(collected.workspace, collected.config(clean={"workers": 2}))
    with collected.workspace.open_catalog() as catalog:
        rows = [row for row in catalog.all(Verdict) if row.stage == "copy"]
    dropped = {row.sha256: row.reason for row in rows if row.verdict == "drop"}
    found = {copy: dropped.get(copy) or dropped.get(original) for copy, (original, _) in copies.items()}
    # A JPEG of 512 px and more is decoded at a fraction of its size, so that its copy in a BMP differs in some bits.
    alike = {"same_pixels": {"same_pixels", "near_copy"}}
    assert all(found[copy] in alike.get(reason, {reason}) for copy, (_, reason) in copies.items()), found
    assert len(dropped) == len(copies)
    assert len(copies) > 15
