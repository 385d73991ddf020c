"""Balanced test accuracy on a folder of class-named photographs, over several seeds, through the whole path.

    python -m benchmarks.accuracy [--photos DIR | --recorded DIR] [--keywords cat,dog] [--seeds 5] [--backbone NAME]

Without a folder, on the pictures that the gallery draws.

The photographs are served by the gallery and collected over HTTP, as a user's would be. The first seed's time is that
of a first run (search to report); later seeds reuse what does not depend on the seed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.support.photo_sets import site_settings
from flows.step_table import STEPS, Phase
from gallery.site import Gallery
from workspace.progress import SILENT
from workspace.resolve import open_workspace
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import ModelCard


def measure(
    site: Gallery, keywords: Sequence[str], folder: Path, seed: int, backbone: str
) -> tuple[dict[str, float], float, str]:
    """One run of the whole path: (balanced test accuracy and interval by name, seconds, which model was kept)."""
    settings = site_settings(site, backbone) | {"seed": seed}
    began = time.monotonic()
    workspace, config = open_workspace(folder, keywords, settings)
    for step in STEPS:
        if step.phase is not Phase.ARRIVAL and step.name != "publish":  # a decision would freeze the split
            step.run(workspace, config, SILENT)
    seconds = time.monotonic() - began
    run = workspace.latest_run()
    test = Metrics.read(run.metrics_file).test
    figures = {"n": test.n, "balanced": test.balanced_accuracy.value, "plain": test.accuracy.value}
    return figures, seconds, ModelCard.read(run.card_file).chosen


def main() -> None:
    """Measure and print one line per seed, then the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--photos", type=Path, help="folder with a folder of photographs per class")
    source.add_argument("--recorded", type=Path, help="folder of recorded Openverse answers")
    parser.add_argument("--keywords", default="", help="comma-separated; all that the site has by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    given = parser.parse_args()
    if given.photos:
        site = Gallery.photos(given.photos)
    elif given.recorded:
        site = Gallery.recorded(given.recorded)
    else:
        site = Gallery.rendered()
    keywords = given.keywords.split(",") if given.keywords else site.keywords
    balanced = []
    print("seed  test pictures  balanced accuracy  accuracy  kept       seconds")
    with site, tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seeds):
            figures, seconds, chosen = measure(site, keywords, Path(folder), seed, given.backbone)
            balanced.append(figures["balanced"])
            print(
                f"{seed:4}  {figures['n']:13}  {figures['balanced']:17.3f}  {figures['plain']:8.3f}  {chosen:9}"
                f"  {seconds:7.1f}",
                flush=True,
            )
    spread = statistics.stdev(balanced) if len(balanced) > 1 else 0.0
    print(f"mean balanced accuracy {statistics.mean(balanced):.3f}, standard deviation over seeds {spread:.3f}")


if __name__ == "__main__":
    main()
