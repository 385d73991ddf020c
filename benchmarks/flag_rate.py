"""How often each check speaks up on pictures that are known to be real photographs, beside what it is for.

    python -m benchmarks.flag_rate DIR [DIR …]

Prints, for each folder and check, how many of its pictures are dropped or flagged with the default limits. On a
collection of good photographs every one of them is a false alarm, but for what a person would call that too.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from pathlib import Path

from preprocessing.images.decode import decode_small
from preprocessing.quality.checks import CHECKS, LIMIT
from preprocessing.quality.statistics import measure
from workspace.catalog.records import ImageFacts
from workspace.config.clean import CleanConfig
from workspace.errors import ImageRefused

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}


def facts_below(folder: Path, clean: CleanConfig) -> list[tuple[Path, ImageFacts]]:
    """The facts that checks need of every picture below a folder; those that cannot be decoded are left out."""
    found = []
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES):
        try:
            decoded, small = decode_small(file.read_bytes(), clean)
        except ImageRefused:
            continue
        found.append(
            (
                file,
                ImageFacts(
                    file.name,
                    width=decoded.width,
                    height=decoded.height,
                    frames=decoded.frames,
                    **dataclasses.asdict(measure(small)),
                ),
            )
        )
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--name", default="", help="also print the files for which this check speaks up")
    options = parser.parse_args()
    clean = CleanConfig()
    for folder in options.folders:
        counts: Counter[str] = Counter()
        pictures = facts_below(folder, clean)
        for file, facts in pictures:
            failed = [name for name, check in CHECKS.items() if check.score(facts, clean) < LIMIT]
            counts.update(failed)
            counts["any"] += bool(failed)
            if options.name in failed:
                print(f"  {options.name}: {file}")
        shares = ", ".join(f"{name} {counts[name]}" for name in (*CHECKS, "any") if counts[name])
        print(f"{folder.name}: {len(pictures)} pictures; {shares or 'none'}", flush=True)


if __name__ == "__main__":
    main()
