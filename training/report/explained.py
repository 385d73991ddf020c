"""Sentences and names that let a reader of the report follow it without knowing this program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from training.fit.choice import BOTH, HEAD
from training.fit.history import History
from training.fit.regime import Regime, RegimeRecord
from training.stats.ood import OodLimits
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import ModelCard

_POSITIONS = ("the last stage", "the stage before the last", "the third stage from the end")
_REGIMES = {
    Regime.FROZEN: "the network stays as ImageNet left it, and a head is fitted to it",
    Regime.HEAD_FIRST: "a head, and beside it a fine-tuned copy of the last half of the network's stages",
    Regime.LATE_STAGES: "a head, and beside it a fine-tuned copy of the last half of the network's stages",
    Regime.ALL_LAYERS: "a head, and beside it a fine-tuned copy of the whole network",
}


def stage_titles(weights_file: Path, stages: Sequence[str]) -> dict[str, str]:
    """Name a network's stages for people, by position and by the network's own names of the modules in them.

    Args:
        weights_file: model.safetensors, whose keys hold these names; without the file the positions are all.
        stages: as training names them, the last first.
    """
    modules: dict[str, set[str]] = {}
    if weights_file.is_file():
        from safetensors import safe_open

        with safe_open(weights_file, "np") as weights:
            for key in weights.keys():  # noqa: SIM118 (it is no dictionary)
                parts = key.split(".")
                if parts[:2] == ["backbone", "stages"] and len(parts) > 3:
                    modules.setdefault(parts[2], set()).add(re.sub(r"_(\d+)", r".\1", parts[3]))
    titles = {}
    for place, stage in enumerate(stages):
        title = _POSITIONS[place] if place < len(_POSITIONS) else f"stage {place + 1} from the end"
        own = ", ".join(sorted(modules.get(stage, ())))
        titles[stage] = f"{title} ({own})" if own else title
    return titles


def shipping_rule(card: ModelCard, history: History) -> str:
    """Say by what rule the shipped part was chosen, and that it is not the one with the highest number where it is not.

    The rules are those of docs/decisions/0008 and 0011.
    """
    if not history.parts:
        return ""
    shipped = BOTH if card.tuned_stages else HEAD
    own = next((part for part in history.parts if part.name == shipped), None)
    ahead = own is not None and any(
        part.balanced_accuracy > own.balanced_accuracy or part.log_loss < own.log_loss for part in history.parts
    )
    if history.guard is not None or card.tuned_stages:
        rule = (
            "the average of the head and the fine-tuned copy ships, unless these pictures show it to be worse than the "
            "head alone by more than two standard errors"
        )
    elif card.head_stages > 1:
        rule = (
            "the linear head is always the mean of a head on the last stage and one on the last "
            f"{card.head_stages}: over eight sets of photographs it alone was never clearly worse than a plain probe"
        )
    else:
        return ""
    least = f"a single picture of these {history.parts[0].n} moves a row by about {100 / history.parts[0].n:.1f} points"
    if ahead:
        return f"Another row has a better number, but none is chosen by its number, since {least}. The rule: {rule}."
    return f"None of them is chosen by its number, since {least}. The rule: {rule}."


def regime_words(regime: RegimeRecord | None) -> str:
    """Say what a regime trains; empty without one."""
    return _REGIMES[regime.regime] if regime else ""


def refused(metrics: Metrics) -> set[tuple[str, str]]:
    """List the pictures that lead the report to which `predict` would answer none, as (sha256, label)."""
    if metrics.rejection is None:
        return set()
    found, lead = metrics.rejection, metrics.leading
    distances = found.test_distance if metrics.leads == "test" else found.held_out_distance
    unknown = (None,) * len(lead.predictions)
    limits = OodLimits(found.default.accept, found.default.min_probability, found.default.max_distance)
    return {
        (row.sha256, row.label)
        for row, distance in zip(lead.predictions, distances or unknown, strict=True)
        if limits.why_none(row.predicted, row.probability, distance)
    }


def baseline_shares(metrics: Metrics) -> dict[str, float]:
    """Compute the share of right answers by always naming the most frequent class, for each set of answers."""
    sets = dict(metrics.splits)
    if metrics.cross_validation:
        sets["crossed"] = metrics.cross_validation
    label = metrics.baseline.label
    return {name: sum(row.label == label for row in scores.predictions) / scores.n for name, scores in sets.items()}
