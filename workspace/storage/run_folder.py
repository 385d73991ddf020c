"""Paths of a run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CARD_NAME, WEIGHTS_NAME, README_NAME = "card.json", "model.safetensors", "README.md"
CALIBRATION_NAME, REFERENCE_NAME = "calibration.json", "reference.safetensors"
"""The files of a model folder, which may be copied away from its run."""

ONNX_NAME, TORCH_NAME = "model.onnx", "model.pt2"
"""What `export` writes into its folder."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder runs/<run_id>: dataset, model and report of one training, frozen once written."""

    root: Path

    @property
    def run_id(self) -> str:
        """The folder's name: a digest of the dataset and of the settings that shape the model."""
        return self.root.name

    @property
    def config_file(self) -> Path:
        """All settings of this run, frozen."""
        return self.root / "config.toml"

    @property
    def own_settings_file(self) -> Path:
        """What workspace.toml said of the settings that this run has otherwise: workspace.storage.run."""
        return self.root / "own_settings.json"

    @property
    def dataset_file(self) -> Path:
        """The dataset, one row per image: workspace.catalog.records.Sample."""
        return self.root / "dataset.parquet"

    @property
    def negatives_file(self) -> Path:
        """The negatives, laid out as the dataset; absent where there are none."""
        return self.root / "negatives.parquet"

    @property
    def metrics_file(self) -> Path:
        """Scores of the model, written by evaluate: workspace.storage.metrics.Metrics."""
        return self.root / "metrics.json"

    @property
    def report_file(self) -> Path:
        """The report for people."""
        return self.root / "report.html"

    @property
    def model(self) -> Path:
        """The model folder: all that `predict --model` needs."""
        return self.root / "model"

    @property
    def card_file(self) -> Path:
        """The model card for programs, written last: workspace.storage.model_card.ModelCard."""
        return self.model / CARD_NAME

    @property
    def weights_file(self) -> Path:
        """Weights of the whole network."""
        return self.model / WEIGHTS_NAME

    @property
    def calibration_file(self) -> Path:
        """Calibration and limits for "none"; absent where they could not be measured."""
        return self.model / CALIBRATION_NAME

    @property
    def reference_file(self) -> Path:
        """Features of the training images, for the distance limit."""
        return self.model / REFERENCE_NAME

    @property
    def readme_file(self) -> Path:
        """The model card for people."""
        return self.model / README_NAME

    @property
    def has_model(self) -> bool:
        """Whether training has finished."""
        return self.card_file.is_file()

    @property
    def history_file(self) -> Path:
        """Course of the head and of fine-tuning, and which of them ships."""
        return self.root / "history.json"

    @property
    def attribution_file(self) -> Path:
        """Creator and licence of each picture, as a table."""
        return self.root / "ATTRIBUTION.csv"

    @property
    def credits_file(self) -> Path:
        """Creator and licence of each picture, as a page."""
        return self.root / "credits.html"

    @property
    def export(self) -> Path:
        """Default folder of `export`."""
        return self.root / "export"

    @property
    def oof_file(self) -> Path:
        """Out-of-fold answers of the shipped recipe: training.stats.folds.OutOfFold."""
        return self.root / "oof.npz"

    @property
    def regime_file(self) -> Path:
        """Diagnostics of the training set, and the regime chosen by them."""
        return self.root / "regime.json"

    @property
    def tracking_file(self) -> Path:
        """Where this run was logged: training.tracking.track."""
        return self.root / "tracking.json"

    @property
    def tensorboard(self) -> Path:
        """The event file of this run."""
        return self.root / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of a training in progress; deleted once the model is saved."""
        return self.root / "checkpoints"
