"""Pictures, runs and models are reached through workspace/files alone, so that they may lie elsewhere."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGES = ("workspace", "collectors", "preprocessing", "training", "pages", "flows", "cli")
ALLOWED = ("workspace/storage/paths.py", "workspace/moving/")
BESIDE = re.compile(r"workspace\.images\b|/ (?:CHAMPION|DECISIONS)\b|workspace\.runs(?:\.(?:glob|iterdir)| /)")


def test_nothing_goes_to_their_folders_past_the_seam() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for package in PACKAGES
        for file in sorted((CHECKOUT / package).rglob("*.py"))
        if not (name := file.relative_to(CHECKOUT).as_posix()).startswith(ALLOWED)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if BESIDE.search(line)
    ]
    assert found == []
