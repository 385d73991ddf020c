"""Count the clean images that are new since the last model was trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from workspace.config.model import WorkspaceConfig
from workspace.storage.champion import read_champion, read_decisions
from workspace.storage.dataset import read_dataset
from workspace.storage.paths import Workspace


@dataclass(frozen=True, slots=True)
class NewImages:
    """Clean images in no run that was decided on: `new` in all, `per_class` by label.

    `trained_on` is the number of images in the live model's dataset, 0 when there is none.
    """

    new: int
    per_class: Mapping[str, int]
    trained_on: int

    def enough(self, config: WorkspaceConfig) -> bool:
        """Whether they call for a retraining, by `retrain.min_new_images` or `retrain.min_new_share`."""
        settings = config.retrain
        by_share = settings.min_new_share > 0 and self.new >= settings.min_new_share * self.trained_on
        return self.trained_on > 0 and self.new > 0 and (self.new >= settings.min_new_images or by_share)


def count_new_images(workspace: Workspace, config: WorkspaceConfig) -> NewImages:
    """Compare what is kept now with the datasets of all runs that were decided on, published or not.

    So a challenger that lost is not trained again until as many more images have come.

    Raises:
        DatasetError: a run's dataset is damaged.
    """
    seen: set[str] = set()
    trained_on = 0
    champion = read_champion(workspace)
    for run_id in dict.fromkeys(decision.run_id for decision in read_decisions(workspace)):
        file = workspace.run(run_id, "dataset.parquet").dataset_file
        rows = [sample.sha256 for sample in read_dataset(file)] if file.is_file() else []
        seen.update(rows)
        if champion and run_id == champion.champion:
            trained_on = len(rows)
    with workspace.open_catalog() as catalog:
        kept = [(sha, label) for sha, label in catalog.kept() if label in config.classes]
    fresh = Counter(label for sha, label in kept if sha not in seen)
    return NewImages(fresh.total(), {label: fresh[label] for label in config.classes if fresh[label]}, trained_on)
