"""Calibration: a temperature that makes probabilities true, how true they are, and what a model needs to say so."""

from __future__ import annotations

from collections.abc import Sequence
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

from training.stats.ood import OodLimits
from training.stats.scores import Floats, Labels, log_loss, log_losses, softmax
from workspace.errors import ModelError
from workspace.storage.artefact import Artefact
from workspace.storage.metrics import Bin, Quality
from workspace.storage.paths import CALIBRATION_NAME, REFERENCE_NAME, write_atomic

BINS, PER_BIN = 15, 10
"""Most bins of a reliability diagram (Guo et al. 2017, arXiv 1706.04599), and fewest pictures in one."""

PRIOR_SPREAD = 0.5
"""Standard deviation of log(temperature) before any picture is seen: 95 % between 0.38 and 2.7."""

_SHARPEST, _SOFTEST = 0.02, 50.0  # temperatures that are looked at


class CalibrationRecord(Artefact):
    """calibration.json; reference.safetensors beside it holds the features that distances are taken to."""

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
    """What turns a model's logits into an answer that can be trusted, or into none.

    Attributes:
        temperature: what logits are divided by.
        limits: by the share of own pictures that is to be answered; the first is the one used by default.
        reference: L2-normalised features of the pictures that it learnt from, float16 [n, dim]; n is 0 where the
            limits hold no distance.
        pictures: how many out-of-fold answers it was fitted on.
    """

    temperature: float
    limits: tuple[OodLimits, ...]
    reference: npt.NDArray[np.float16]
    pictures: int

    def probabilities(self, logits: Floats) -> Floats:
        """Logits [n, classes] to calibrated probabilities, float32 [n, classes]."""
        return softmax(logits, self.temperature)

    def limits_for(self, accept: float | None) -> OodLimits:
        """The limits for a share of own pictures; None: the default's.

        Raises:
            ModelError: they were not fitted for this share; names those that were.
        """
        if accept is None:
            return self.limits[0]
        for limits in self.limits:
            if abs(limits.accept - accept) < 1e-9:
                return limits
        shares = ", ".join(f"{limits.accept:g}" for limits in self.limits)
        raise ModelError(f"this model has limits for {shares} of its own pictures, not for {accept:g}")

    def write(self, folder: Path) -> None:
        """Save it beside the model; the JSON last, whose presence says that all is there."""
        write_atomic(folder / REFERENCE_NAME, save_safetensors({"features": self.reference}))
        CalibrationRecord(format=1, temperature=self.temperature, pictures=self.pictures, limits=self.limits).write(
            folder / CALIBRATION_NAME
        )

    @classmethod
    def read(cls, folder: Path) -> Calibration | None:
        """What `write` saved; None where nothing is: the model was not evaluated, or could not be calibrated.

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
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModelError(f"{features} cannot be used ({error}); {CalibrationRecord.REPAIR}") from error
        return cls(record.temperature, record.limits, reference, record.pictures)


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The likeliest temperature (Guo et al. 2017, arXiv 1706.04599), if it is near 1 before any picture is seen.

    Web pictures are often all right in cross-validation; the least log-loss alone would then make every answer a
    certainty. So the logarithm of the temperature has a normal prior, which a hundred mistakes outweigh.

    Args:
        logits: float32 [n, classes] of pictures that the model had not learnt from, n >= 1.
        labels: int64 [n].
    """
    values = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        prior = 0.5 * (log_temperature / PRIOR_SPREAD) ** 2
        return float(prior + log_losses(values / np.exp(log_temperature), labels).sum())

    bounds = (float(np.log(_SHARPEST)), float(np.log(_SOFTEST)))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x))


def cross_fitted(logits: Floats, labels: Labels, fold: Labels) -> Floats:
    """Calibrated probabilities of pictures, of which none helped to fit its own temperature: float32 [n, classes].

    Where all are of one fold, as after a time limit, all of them fit the one temperature.

    Args:
        logits: float32 [n, classes].
        labels: int64 [n].
        fold: int64 [n].
    """
    answers = np.zeros_like(logits)
    for number in np.unique(fold):
        rows = fold == number
        others = ~rows if (~rows).any() else rows  # a single fold was answered: its own temperature must do
        answers[rows] = softmax(logits[rows], fit_temperature(logits[others], labels[others]))
    return answers


def reliability(probabilities: Floats, labels: Labels) -> list[Bin]:
    """How often answers of about equal confidence are right; bins of equally many pictures, the least sure first.

    Equal counts rather than equal widths (Nixon et al. 2019, arXiv 1904.01685): most answers are sure ones.
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
    """Expected calibration error (ECE), in [0, 1]: the mean gap between confidence and the share that is right."""
    total = sum(bin_.n for bin_ in bins)
    return float(sum(bin_.n * abs(bin_.confidence - bin_.right) for bin_ in bins) / total)


def quality(probabilities: Floats, labels: Labels) -> Quality:
    """ECE, log-loss in nats, and the reliability diagram's bins."""
    bins = reliability(probabilities, labels)
    return Quality(ece=calibration_error(bins), log_loss=log_loss(probabilities, labels), bins=tuple(bins))
