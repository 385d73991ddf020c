"""The recipe: the linear head, fine-tuning, both answered for out of fold, and the one of them that ships."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.augment import Augmenter, preset_for
from training.backbone import Backbone, Network
from training.cached import CachedPictures
from training.device import Device
from training.diagnosis import diagnose
from training.features import CachedViews, Extractor
from training.finetune import Job, finetune, pooled, predicted
from training.folds import OutOfFold, grouped_folds
from training.guard import Groups, compare, hopeless, slow_start, unpromising
from training.head import HeadSettings, cross_validate, fit_head
from training.losses import Floats, Labels, balanced_accuracy
from training.regime import Decision, Regime, as_json, decide
from training.reject import neighbour_distances
from workspace.config import WorkspaceConfig
from workspace.paths import digest
from workspace.progress import Progress

Epochs = list[dict[str, float]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """The pictures to learn from: sha256, their labels int64 [n] of `classes`, and their groups [n]."""

    keys: tuple[str, ...]
    labels: Labels
    groups: Groups
    classes: int

    @property
    def per_class(self) -> int:
        """Pictures of the median class."""
        return int(np.median(np.bincount(self.labels, minlength=self.classes)))


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What the recipe ends with.

    `network` ships, and is `chosen` (head or finetuned) for the reason `why`; `out_of_fold` are the answers of that
    recipe, None when the pictures cannot be parted into folds; `history` is history.json, `regime` regime.json
    (empty when nothing could be diagnosed).
    """

    network: Network
    chosen: str
    why: str
    out_of_fold: OutOfFold | None
    history: Mapping[str, Any]
    regime: Mapping[str, Any]


class Recipe:
    """Learns one training set; everything that it computes on the way is cached or checkpointed.

    Args:
        pictures: what to learn from.
        config: how.
        extractor: whose cache holds the clean features and activations of the pictures.
        backbone: the extractor's; left as it is.
        device: where to compute.
        checkpoints: folder for what a killed training goes on from.
    """

    def __init__(
        self,
        pictures: TrainingSet,
        config: WorkspaceConfig,
        extractor: Extractor,
        backbone: Backbone,
        device: Device,
        checkpoints: Path,
    ) -> None:
        self._pictures, self._config, self._device = pictures, config, device
        self._extractor, self._backbone, self._checkpoints = extractor, backbone, checkpoints
        self._fold = grouped_folds(pictures.labels, pictures.groups, config.seed, config.train.folds)
        self._features: Floats = extractor.head_features(pictures.keys)
        self._settings = HeadSettings()
        self._held_out: OutOfFold | None = None
        self._regime: dict[str, Any] = {}

    def learn(self, progress: Progress) -> Outcome:
        """Choose the regime, fit the head, fine-tune where that may help, and keep the better by the guard's rule."""
        pictures, fold = self._pictures, self._fold
        decision = self._decide(progress)
        if fold is None or decision is None:
            return self._head_ships(
                "a class has a single group of pictures (copies, or one creator), so that nothing can be held out to "
                "compare fine-tuning on"
            )
        open_stages = stages_to_open(decision, len(self._backbone.stages)) if self._config.train.epochs else 0
        self._backbone.open(open_stages, self._config.train.batch_norm_only)
        augmenter = Augmenter(preset_for(pictures.per_class), self._config.augment, self._extractor.spec.crop_px)
        views = self._extractor.extract_views(pictures.keys, augmenter, progress)
        self._features = views.features_of(pictures.keys)
        logits, self._settings = cross_validate(
            self._features, pictures.labels, fold, pictures.classes, self._backbone.blocks
        )
        head = self._held_out = OutOfFold(pictures.keys, pictures.labels, logits, fold)
        if not self._config.train.epochs:
            return self._head_ships("fine-tuning is off (train.epochs = 0)")
        if views.activations is None:
            return self._head_ships(f"the regime is {decision.regime.value}: {decision.why}")
        unknown = np.zeros(len(pictures.labels), dtype=bool)
        if self._config.train.guard and hopeless(logits, pictures.labels, pictures.groups, logits, unknown):
            wrong = int((logits.argmax(1) != pictures.labels).sum())
            return self._head_ships(
                f"the linear head errs on {wrong} of {len(pictures.labels)} held-out pictures, too few for fine-tuning "
                "to be shown better"
            )
        return self._guarded(head, views, progress)

    def _decide(self, progress: Progress) -> Decision | None:
        pictures, pooled = self._pictures, self._extractor.pooled(self._pictures.keys)
        source = None
        if self._config.train.weights != "random":
            source = self._backbone.source_logits(pooled[self._backbone.stage_names[-1]])
        diagnosis = diagnose(pooled, pictures.labels, pictures.groups, source, self._config.seed)
        if diagnosis is None:
            return None
        decision = decide(diagnosis, setting=self._config.train.regime)
        self._regime = as_json(diagnosis, decision)
        progress.say(f"regime {decision.regime.value}: {decision.why}")
        return decision

    def _guarded(self, head: OutOfFold, views: CachedViews, progress: Progress) -> Outcome:
        pictures = self._pictures
        tuned, known = head.logits.copy(), np.zeros(len(pictures.labels), dtype=bool)
        distance = np.zeros(len(pictures.labels), np.float32)
        epochs: list[Epochs] = []
        folds = int(head.fold.max()) + 1
        for number in range(folds):
            here = head.fold == number
            progress.say(f"fine-tuning without fold {number + 1} of {folds}, to compare it with the head")
            stop = partial(self._starts_slowly, head.logits[here], here) if number == 0 else lambda _: False
            tuned[here], distance[here], history = self._answer_fold(here, f"fold{number}", views, progress, stop)
            epochs.append(history)
            known |= here
            done = compare(head.logits[known], tuned[known], pictures.labels[known], pictures.groups[known])
            if self._config.train.guard and (
                unpromising(done, number + 1, folds)
                or hopeless(head.logits, pictures.labels, pictures.groups, tuned, known)
            ):
                break
        found: dict[str, Any] = {"finetune": _mean(epochs), "guard": done.as_json()}
        if not known.all():
            after, whole = f"{len(epochs)} of {folds} folds", self._config.train.epochs
            if len(epochs[0]) < whole:
                after = f"{len(epochs[0])} of {whole} epochs of the first fold"
            return self._head_ships(f"after {after} fine-tuning does not look better: {done}", found)
        if self._config.train.guard and not done.passes:
            return self._head_ships(f"fine-tuning is not better by more than one standard error: {done}", found)
        everything = np.ones(len(pictures.labels), dtype=bool)
        network = self._network(everything)
        finetune(network, self._job(everything, ~everything, "whole", views), self._device, progress)
        verdict = "is better by more than one standard error" if done.passes else "ships unjudged (train.guard = false)"
        why = f"fine-tuning {verdict}: {done}"
        answers = OutOfFold(head.sha256, head.labels, tuned, head.fold, distance)
        return Outcome(network, "finetuned", why, answers, self._history(found, "finetuned", why), self._regime)

    def _starts_slowly(self, head: Floats, here: Mask, history: Epochs) -> bool:
        if not (self._config.train.guard and history):
            return False
        reached = balanced_accuracy(head, self._pictures.labels[here])
        return slow_start(len(history), self._config.train.epochs, history[-1]["val_accuracy"], reached)

    def _answer_fold(
        self, here: Mask, name: str, views: CachedViews, progress: Progress, stop: Callable[[Epochs], bool]
    ) -> tuple[Floats, Floats, Epochs]:
        """Fine-tune without one fold, and answer it.

        Returns:
            Logits [pictures of the fold, classes], their distances to the pictures learnt from, and the epochs.
        """
        network, job = self._network(~here), self._job(~here, here, name, views)
        history = finetune(network, job, self._device, progress, stop)
        size = self._config.train.batch_size
        bank, own = (pooled(network, part, self._device, size) for part in (job.train, job.val))
        return predicted(network, job.val, self._device, size), neighbour_distances(bank, own), history

    def _network(self, learnt: Mask) -> Network:
        """The backbone with the linear head of these pictures."""
        pictures = self._pictures
        head = fit_head(
            self._features[learnt],
            pictures.labels[learnt],
            pictures.classes,
            self._settings,
            blocks=self._backbone.blocks,
        )
        return self._device.put(Network(copy.deepcopy(self._backbone), head.layer()))

    def _job(self, learnt: Mask, held_out: Mask, name: str, views: CachedViews) -> Job:
        pictures, config = self._pictures, self._config
        keys = np.array(pictures.keys)
        assert views.activations is not None
        cached = (views.activations, views.features, self._backbone.frozen_width)
        train = CachedPictures(tuple(keys[learnt].tolist()), pictures.labels[learnt], *cached, config.features.views)
        val = CachedPictures(tuple(keys[held_out].tolist()), pictures.labels[held_out], *cached)
        fingerprint = digest(
            views.activations.folder.name,
            config.features.views,
            config.train.model_dump(),
            config.seed,
            self._settings.as_json(),
            [[*row] for row in zip(train.keys, train.labels.tolist(), strict=True)],
        )
        checkpoint = self._checkpoints / f"{name}.pt"
        return Job(train, val, config.train, pictures.classes, config.seed, checkpoint, fingerprint)

    def _head_ships(self, why: str, found: Mapping[str, Any] | None = None) -> Outcome:
        network = self._network(np.ones(len(self._pictures.labels), dtype=bool))
        found = found or {"finetune": [], "guard": None}
        return Outcome(network, "head", why, self._held_out, self._history(found, "head", why), self._regime)

    def _history(self, found: Mapping[str, Any], chosen: str, why: str) -> dict[str, Any]:
        held_out = self._held_out
        head = {
            **self._settings.as_json(),
            "val_accuracy": held_out and held_out.balanced_accuracy,
            "val_loss": held_out and held_out.log_loss,
            "n_train": len(self._pictures.labels),
        }
        return {"head": head, **found, "chosen": chosen, "why": why}


def stages_to_open(decision: Decision, stages: int) -> int:
    """How many of so many stages, from the last on, a regime trains; a network in one piece is trained whole or not."""
    wanted = {
        Regime.ALL_LAYERS: stages,
        Regime.LATE_STAGES: 2,
        Regime.HEAD_FIRST: 2 if decision.open_before_last else 1,
        Regime.FROZEN: 0,
    }[decision.regime]
    return wanted if stages > 1 or wanted == stages and decision.regime is Regime.ALL_LAYERS else 0


def _mean(folds: Sequence[Epochs]) -> Epochs:
    """The epochs of all folds as one: every number's mean."""
    return [
        {name: float(np.mean([row[name] for row in rows])) if name != "epoch" else rows[0][name] for name in rows[0]}
        for rows in zip(*folds, strict=True)
    ]
