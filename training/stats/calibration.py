"""Temperature scaling, the calibration error before and after it, and the calibration file of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from training.stats.ood import OodLimits
from training.stats.scores import Floats, Labels, bounded_log_losses, log_loss, softmax
from workspace.errors import ModelError
from workspace.files.atomic import write_atomic
from workspace.storage.artefact import Artefact, why_no_tensors
from workspace.storage.metrics import Bin, Quality
from workspace.storage.run_folder import CALIBRATION_NAME, REFERENCE_NAME

BINS, PER_BIN = 15, 10
"""Most bins of a reliability diagram (Guo et al. 2017, arXiv 1706.04599), and fewest images in a bin."""

PRIOR_SPREAD = 0.5
"""Standard deviation of the normal prior on log(temperature): 95 % of the temperatures lie between 0.38 and 2.7."""

_LOWEST, _HIGHEST = 0.02, 50.0  # range of the temperatures that are searched


class CalibrationRecord(Artefact):
    """calibration.json; reference.safetensors beside it holds the features from which distances are measured."""

    FORMAT: ClassVar[int | None] = 1
    COMMAND: ClassVar[str] = "collect-and-train evaluate"
    REPAIR: ClassVar[str] = "delete it and evaluate again: collect-and-train evaluate"

    format: Literal[1] = Field(description="Layout of this file and of reference.safetensors.")
    temperature: float = Field(description="What logits are divided by.")
    pictures: int = Field(description="Out-of-fold answers it was fitted on.")
    limits: tuple[OodLimits, ...] = Field(
        min_length=1, description="By share to be answered; the first is the default."
    )


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Temperature and limits that turn logits into calibrated probabilities, and into the answer `none`.

    Attributes:
        temperature: what logits are divided by.
        limits: one for each share of in-class images that is to get a class; the first is the default.
        reference: L2-normalised features of the training images, float16 [n, dim]; n is 0 where the limits have no
            distance.
        images: number of out-of-fold answers that it was fitted on.
    """

    temperature: float
    limits: tuple[OodLimits, ...]
    reference: npt.NDArray[np.float16]
    images: int

    def probabilities(self, logits: Floats) -> Floats:
        """Convert logits [n, classes] to calibrated probabilities, float32 [n, classes]."""
        return softmax(logits, self.temperature)

    def limits_for(self, accept: float | None) -> OodLimits:
        """Return the limits for a share of in-class images; None: the default limits.

        Raises:
            ModelError: no limits were fitted for this share; names the shares that have some.
        """
        if accept is None:
            return self.limits[0]
        for limits in self.limits:
            if abs(limits.accept - accept) < 1e-9:
                return limits
        shares = ", ".join(f"{limits.accept:g}" for limits in self.limits)
        raise ModelError(f"this model has limits for {shares} of its own pictures, not for {accept:g}")

    def write(self, folder: Path) -> None:
        """Save both files beside the model; the JSON last, so that where it exists the other does too."""
        write_atomic(folder / REFERENCE_NAME, save_safetensors({"features": self.reference}))
        CalibrationRecord(format=1, temperature=self.temperature, pictures=self.images, limits=self.limits).write(
            folder / CALIBRATION_NAME
        )

    @classmethod
    def read(cls, folder: Path) -> Calibration | None:
        """Load what `write` saved; None without a file: the model was not evaluated, or could not be calibrated.

        Raises:
            ModelError: it is damaged, or of another format.
        """
        record, features = CalibrationRecord.read_if_present(folder / CALIBRATION_NAME), folder / REFERENCE_NAME
        if record is None:
            return None
        try:
            reference = load_safetensors(features.read_bytes())["features"]
        except FileNotFoundError as error:
            raise ModelError(f"{features} is gone; {CalibrationRecord.REPAIR}") from error
        except SafetensorError as error:
            raise ModelError(f"{why_no_tensors(features)} in {folder}; {CalibrationRecord.REPAIR}") from error
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{features} cannot be used ({error}); {CalibrationRecord.REPAIR}") from error
        return cls(record.temperature, record.limits, reference, record.pictures)


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """Fit the temperature of the highest posterior probability (Guo et al. 2017, arXiv 1706.04599, plus a prior).

    On easy classes every answer of the cross-validation may be right; the lowest log-loss alone would then set all
    probabilities to 1. So the logarithm of the temperature has a normal prior around 0, which a hundred mistakes
    outweigh.

    Args:
        logits: float32 [n, classes] of images that the model was not trained on, n >= 1.
        labels: int64 [n].
    """
    values = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        losses = bounded_log_losses(values / np.exp(log_temperature), labels)
        return float(0.5 * (log_temperature / PRIOR_SPREAD) ** 2 + losses.sum())

    return _best_temperature(loss)


def match_temperature(logits: Floats, probabilities: Floats) -> float:
    """Find the temperature at which logits give probabilities nearest to those of another model (cross-entropy).

    Args:
        logits: float32 [n, classes], n >= 1.
        probabilities: the other's for the same images, float32 [n, classes].
    """
    values, wanted = logits.astype(np.float64), probabilities.astype(np.float64)
    return _best_temperature(
        lambda log_temperature: float(-(wanted * log_softmax(values / np.exp(log_temperature), axis=1)).sum())
    )


def _best_temperature(loss: Callable[[float], float]) -> float:
    """Minimise a loss of the temperature's logarithm."""
    bounds = (float(np.log(_LOWEST)), float(np.log(_HIGHEST)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def cross_fitted(logits: Floats, labels: Labels, fold: Labels) -> Floats:
    """Calibrate each fold with the temperature fitted on the other folds: probabilities, float32 [n, classes].

    With a single fold the temperature is fitted on that fold itself.

    Args:
        logits: float32 [n, classes].
        labels: int64 [n].
        fold: int64 [n].
    """
    answers = np.zeros_like(logits)
    for number in np.unique(fold):
        rows = fold == number
        others = ~rows if (~rows).any() else rows
        answers[rows] = softmax(logits[rows], fit_temperature(logits[others], labels[others]))
    return answers


def reliability(probabilities: Floats, labels: Labels) -> list[Bin]:
    """Compute the bins of a reliability diagram, each of equally many images, the least confident first.

    Bins of equal width would leave most of them nearly empty, since most answers are confident (Nixon et al. 2019,
    arXiv 1904.01685).
    """
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    order = np.argsort(confidence, kind="stable")
    count = max(1, min(BINS, len(labels) // PER_BIN))
    return [
        Bin(float(confidence[rows].mean()), float(right[rows].mean()), len(rows))
        for rows in np.array_split(order, count)
        if len(rows)
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Compute the expected calibration error (ECE), in [0, 1]: the mean gap between confidence and accuracy."""
    total = sum(bin_.n for bin_ in bins)
    return float(sum(bin_.n * abs(bin_.confidence - bin_.right) for bin_ in bins) / total)


def quality(probabilities: Floats, labels: Labels) -> Quality:
    """Compute ECE, log-loss in nats, and the bins of the reliability diagram."""
    bins = reliability(probabilities, labels)
    return Quality(ece=calibration_error(bins), log_loss=log_loss(probabilities, labels), bins=tuple(bins))
