"""How well "none of these" tells outsiders from own pictures, over several seeds, through the whole path.

    python -m benchmarks.reject --photos bears/ --outsiders aerial/ [--outsiders other/ …] [--negatives monkeys/]

Trains on `--photos` (a folder with a folder of pictures per class), as a user would, and asks the saved model about
the held-out test pictures and about every picture under each `--outsiders` folder. Nothing of the outsiders is known
when the limits are set. Also shown: each of the two scores alone, at the same share of own pictures accepted.

With `--negatives` the pictures of that folder are the workspace's negatives: half of them help to set the limits, and
the other half measures them. The column "both" then shows what the same model's limits would be without them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.support.photo_sets import site_settings
from flows.step_table import STEPS, Phase, find_step
from gallery.site import Gallery
from preprocessing.images.decode import decode_small
from preprocessing.images.pixel_cache import PixelCache
from training.inference.classifier import Classifier, Outputs
from training.inference.predict import image_files
from training.stats.ood import OodLimits, fit_limits, neighbour_distances
from workspace.config.model import WorkspaceConfig
from workspace.errors import ImageRefused
from workspace.progress import SILENT
from workspace.resolve import open_workspace
from workspace.storage.dataset import read_dataset
from workspace.storage.metrics import Metrics
from workspace.storage.paths import Workspace
from workspace.storage.run import open_run

PATH = [step for step in STEPS if step.phase is not Phase.ARRIVAL and step.name not in {"report", "publish"}]
RULES = ("both", "with negatives", "probability alone", "distance alone")


def train(
    site: Gallery, folder: Path, seed: int, backbone: str, negatives: Path | None
) -> tuple[Workspace, WorkspaceConfig]:
    """Take in the negatives, collect from the site, train and calibrate."""
    settings = site_settings(site, backbone) | {"seed": seed}
    if negatives:
        settings["negatives.folder"] = str(negatives.resolve())
    workspace, config = open_workspace(folder, site.keywords, settings)
    for step in (find_step("inbox"), *PATH):
        step.run(workspace, config, SILENT)
    return workspace, config


def read_folder(folder: Path, config: WorkspaceConfig) -> list[np.ndarray]:
    """Every picture that can be read, shrunk as the cache holds them."""
    found = []
    for file in image_files([folder]):
        try:
            found.append(decode_small(file.read_bytes(), config.clean)[1])
        except ImageRefused:
            continue
    return found


class Judge:
    """The saved model's rule, and its two halves alone; fitted on own pictures that the model had not learnt from."""

    def __init__(self, workspace: Workspace, config: WorkspaceConfig) -> None:
        run = workspace.latest_run()
        self.model = Classifier.load(run.model, "cpu")
        assert self.model.calibration is not None
        self.calibration = self.model.calibration
        rejection = Metrics.read(run.metrics_file).rejection
        assert rejection is not None
        scores = rejection.own_scores
        probability = np.array(scores.probability, dtype=np.float32)
        accept = self.calibration.limits[0].accept
        distance = None if scores.distance is None else np.array(scores.distance, dtype=np.float32)
        self.limits = {"both": fit_limits(probability, distance, accept)}
        if open_run(workspace).negatives():
            self.limits["with negatives"] = self.calibration.limits[0]
        self.limits["probability alone"] = fit_limits(probability, None, accept)
        if distance is not None:
            nearest = fit_limits(-distance, None, accept)
            self.limits["distance alone"] = OodLimits(accept, 0.0, -nearest.min_probability)

    def accepted(self, pictures: Sequence[np.ndarray]) -> dict[str, float]:
        """The share of the pictures that is answered, by rule."""
        outputs: Outputs = self.model.outputs(pictures)
        sure = self.calibration.probabilities(outputs.logits).max(1)
        far = None
        if len(self.calibration.reference):
            far = neighbour_distances(self.calibration.reference, outputs.features)
        return {rule: float(limits.accepts(sure, far).mean()) for rule, limits in self.limits.items()}


def main() -> None:
    """Measure and print one line per seed and folder, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder with a folder of photographs per class")
    parser.add_argument("--outsiders", type=Path, action="append", required=True, help="folder of other pictures")
    parser.add_argument("--negatives", type=Path, help="folder of pictures of none of the classes, known beforehand")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    given = parser.parse_args()
    shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    print(f"{'seed':4}  {'pictures':28}  {'n':>4}  " + "  ".join(f"{rule:>17}" for rule in RULES) + "   (answered)")
    with Gallery.photos(given.photos) as site, tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seeds):
            workspace, config = train(site, Path(folder), seed, given.backbone, given.negatives)
            judge, cache = Judge(workspace, config), PixelCache(workspace, config.clean)
            test = [one for one in read_dataset(workspace.latest_run().dataset_file) if one.split == "test"]
            sets = {"own test pictures": [cache.read(one.sha256) for one in test]}
            measuring = [one for one in open_run(workspace).negatives() if one.split == "test"]
            if measuring:
                sets["negatives that set no limit"] = [cache.read(one.sha256) for one in measuring]
            sets |= {f"outsiders: {path.name}": read_folder(path, config) for path in given.outsiders}
            for name, pictures in sets.items():
                found = judge.accepted(pictures)
                for rule, share in found.items():
                    shares[name][rule].append(share)
                cells = "  ".join(f"{found.get(rule, float('nan')):17.3f}" for rule in RULES)
                print(f"{seed:4}  {name:28}  {len(pictures):4}  {cells}", flush=True)
    for name, by_rule in shares.items():
        means = ", ".join(f"{rule} {statistics.mean(values):.3f}" for rule, values in by_rule.items())
        print(f"mean share answered of {name}: {means}")


if __name__ == "__main__":
    main()
