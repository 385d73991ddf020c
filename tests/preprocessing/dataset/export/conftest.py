import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workspace.catalog.records import Sample
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace

HOSTILE = 'a | "b"\n<script>, [x](javascript:y)'
FORMULA = "=cmd|' /C calc'!A0"


@pytest.fixture
def collected(tmp_path: Path) -> tuple[Workspace, list[Sample]]:
    """Twelve images of two classes, in three formats, with titles and licences of strangers."""
    workspace, samples = Workspace(tmp_path / "ws"), []
    for number in range(12):
        kind = ("JPEG", "PNG", "WEBP")[number % 3]
        pixels = np.random.default_rng(number).integers(0, 255, (24, 32, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, kind)
        sha = hashlib.sha256(out.getvalue()).hexdigest()
        suffix = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}[kind]
        ImageStore(workspace).put(sha, suffix, out.getvalue())
        samples.append(
            Sample(
                sha,
                ("고양이", "a dog")[number % 2],
                ("train", "train", "val", "test")[number // 3],
                "g",
                f"images/{sha}{suffix}",
                "openverse",
                "kw",
                "http://a.test/i",
                "http://a.test/p",
                title=HOSTILE,
                creator=FORMULA,
                license=HOSTILE if number else "",
                license_url="https://creativecommons.org/licenses/by/4.0/" if number else "javascript:alert(1)",
                attribution=HOSTILE,
                width=32,
                height=24,
                flagged=number == 1,
            )
        )
    return workspace, samples
