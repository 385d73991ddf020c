"""A data set to a model: the steps features, train, evaluate, report and publish; `Classifier` for notebooks.

Folders:
    network: the backbone and its stages, devices, augmented views, cached features.
    stats: numbers from arrays, without torch: scores, folds, calibration, out-of-distribution limits, paired tests.
    fit: the regime, the linear head, fine-tuning, the choice between them.
    inference: the saved model at work: classification, export, heat maps.
    evaluation: held-out answers, and what is measured of a model.
    export: the model for other programs: the registry of formats, timm, the hub.
    tracking: a finished run in MLflow or TensorBoard.
    report: the report page, the model card and the credits of a run.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.notebook import Classifier

__all__ = ["Classifier"]


def __getattr__(name: str) -> Any:
    """Import `Classifier` when it is asked for: with torch it takes seconds, which others need not wait for."""
    if name != "Classifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from workspace.environment import set_defaults

    set_defaults()  # before the libraries that read them
    from training.notebook import Classifier

    return Classifier
