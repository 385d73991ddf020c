"""Train the candidates, ask each about images held out, and fit the one that is chosen (training/fit/choice.py)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.fit.cached_dataset import CachedPictures
from training.fit.choice import Choice, Epochs, Evidence, TunedFolds, choose
from training.fit.diagnostics import diagnose
from training.fit.finetune import Job, finetune, pooled, predicted
from training.fit.head import HeadSettings, cross_validate, fit_head
from training.fit.history import HeadScores, History
from training.fit.regime import Decision, Regime, RegimeRecord, decide
from training.network.backbone import Backbone, Network
from training.network.device import Device
from training.network.features import CachedViews, Extractor
from training.network.views import Augmenter, preset_for
from training.stats.fold_comparison import Groups, compare, hopeless, slow_start, unpromising
from training.stats.folds import OutOfFold, grouped_folds
from training.stats.ood import neighbour_distances
from training.stats.scores import Floats, Labels, balanced_accuracy
from workspace.config.model import WorkspaceConfig
from workspace.config.train import TrainConfig
from workspace.progress import Progress
from workspace.storage.model_card import Augmentation
from workspace.storage.paths import digest

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
    """What training ends with.

    `network` ships, and is `chosen` (head or finetuned) for the reason `why`; `out_of_fold` are the answers of that
    recipe, None when the pictures cannot be parted into folds; `regime` is None when nothing could be diagnosed,
    `augmentation` when no augmented view was drawn.
    """

    network: Network
    chosen: str
    why: str
    out_of_fold: OutOfFold | None
    history: History
    regime: RegimeRecord | None
    augmentation: Augmentation | None


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """What is learnt, with what, and where; everything computed on the way is cached or checkpointed.

    Attributes:
        pictures: what to learn from.
        config: how.
        extractor: whose cache holds the clean features and activations of the pictures.
        backbone: the extractor's; `learn` opens its stages, its weights stay as they are.
        device: where to compute.
        checkpoints: folder for what a killed training goes on from.
    """

    pictures: TrainingSet
    config: WorkspaceConfig
    extractor: Extractor
    backbone: Backbone
    device: Device
    checkpoints: Path


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """What both candidates are fitted on: the head's features, its settings, and the cached views, if there are any."""

    setup: Setup
    features: Floats
    settings: HeadSettings
    views: CachedViews | None = None
    augmentation: Augmentation | None = None


def learn(setup: Setup, progress: Progress) -> Outcome:
    """Choose the regime, answer the held-out pictures by each candidate, choose one of them and fit it."""
    pictures, train = setup.pictures, setup.config.train
    fold = grouped_folds(pictures.labels, pictures.groups, setup.config.seed, train.folds)
    decision, regime = _decide(setup, progress)
    if fold is None or decision is None:
        inputs = _Inputs(setup, setup.extractor.head_features(pictures.keys), HeadSettings())
        evidence = Evidence(None, None, _NOTHING_HELD_OUT)
    else:
        inputs, head = _answer_by_head(setup, decision, fold, progress)
        not_tuned = _why_not_tuned(head, inputs, decision)
        tuned = None if not_tuned else _answer_by_tuning(inputs, head, progress)
        evidence = Evidence(head, tuned, not_tuned)
    choice = choose(evidence, train.guard, train.epochs)
    network = _fit(inputs, choice, progress)
    history = _history(inputs, evidence, choice)
    return Outcome(network, choice.chosen, choice.why, choice.out_of_fold, history, regime, inputs.augmentation)


def fitted_on(pictures: TrainingSet, config: WorkspaceConfig) -> list[int]:
    """Count the images of each fine-tuning that `learn` may run: on all of them and without each fold, or none."""
    fold = grouped_folds(pictures.labels, pictures.groups, config.seed, config.train.folds)
    if fold is None or not config.train.epochs:
        return []
    return [len(fold), *(len(fold) - np.bincount(fold)).tolist()]


_NOTHING_HELD_OUT = (
    "a class has a single group of pictures (copies, or one creator), so that nothing can be held out to "
    "compare fine-tuning on"
)


def _decide(setup: Setup, progress: Progress) -> tuple[Decision | None, RegimeRecord | None]:
    """The regime and regime.json; None when nothing can be held out to diagnose."""
    pictures, backbone = setup.pictures, setup.backbone
    features, source = setup.extractor.pooled(pictures.keys), None
    if setup.config.train.weights != "random":
        source = backbone.source_logits(features[backbone.stage_names[-1]])
    diagnosis = diagnose(features, pictures.labels, pictures.groups, source, setup.config.seed)
    if diagnosis is None:
        return None, None
    decision = decide(diagnosis, setting=setup.config.train.regime)
    progress.say(f"regime {decision.regime.value}: {decision.why}")
    return decision, RegimeRecord.of(diagnosis, decision)


def _answer_by_head(setup: Setup, decision: Decision, fold: Labels, progress: Progress) -> tuple[_Inputs, OutOfFold]:
    """Open the regime's stages, cache the views, and answer each picture by a head without its fold."""
    pictures, config, backbone = setup.pictures, setup.config, setup.backbone
    backbone.open(
        stages_to_open(decision, len(backbone.stages)) if config.train.epochs else 0, config.train.batch_norm_only
    )
    augmenter = Augmenter(preset_for(pictures.per_class), config.augment, setup.extractor.spec.crop_px)
    views = setup.extractor.extract_views(pictures.keys, augmenter, progress)
    drawn = augmenter.record(config.seed, config.features.views) if config.features.views else None
    features = views.features_of(pictures.keys)
    logits, settings = cross_validate(features, pictures.labels, fold, pictures.classes, backbone.blocks)
    return _Inputs(setup, features, settings, views, drawn), OutOfFold(pictures.keys, pictures.labels, logits, fold)


def _why_not_tuned(head: OutOfFold, inputs: _Inputs, decision: Decision) -> str:
    """Why fine-tuning need not be tried; empty when it is to be."""
    train, groups = inputs.setup.config.train, inputs.setup.pictures.groups
    if not train.epochs:
        return "fine-tuning is off (train.epochs = 0)"
    if inputs.views is None or inputs.views.activations is None:
        return f"the regime is {decision.regime.value}: {decision.why}"
    unknown = np.zeros(len(head.labels), dtype=bool)
    if train.guard and hopeless(head.logits, head.labels, groups, head.logits, unknown):
        wrong = int((head.logits.argmax(1) != head.labels).sum())
        return (
            f"the linear head errs on {wrong} of {len(head.labels)} held-out pictures, too few for fine-tuning "
            "to be shown better"
        )
    return ""


def _answer_by_tuning(inputs: _Inputs, head: OutOfFold, progress: Progress) -> TunedFolds:
    """Fine-tune without each fold and answer it, for as long as fine-tuning may still be shown to be better."""
    labels, groups, train = head.labels, inputs.setup.pictures.groups, inputs.setup.config.train
    logits, known = head.logits.copy(), np.zeros(len(labels), dtype=bool)
    distance = np.zeros(len(labels), np.float32)
    epochs: list[Epochs] = []
    folds = int(head.fold.max()) + 1
    for number in range(folds):
        held_out = head.fold == number
        progress.say(f"fine-tuning without fold {number + 1} of {folds}, to compare it with the head")
        reached = balanced_accuracy(head.logits[held_out], labels[held_out])
        stop = partial(_starts_slowly, train, reached) if number == 0 else lambda _: False
        logits[held_out], distance[held_out], history = _answer_fold(inputs, held_out, f"fold{number}", progress, stop)
        epochs.append(history)
        known |= held_out
        found = compare(head.logits[known], logits[known], labels[known], groups[known])
        if train.guard and (
            unpromising(found, number + 1, folds) or hopeless(head.logits, labels, groups, logits, known)
        ):
            break
    return TunedFolds(logits, distance, known, tuple(epochs), folds, found)


def _starts_slowly(train: TrainConfig, head_accuracy: float, history: Epochs) -> bool:
    if not (train.guard and history):
        return False
    return slow_start(len(history), train.epochs, history[-1]["val_accuracy"], head_accuracy)


def _answer_fold(
    inputs: _Inputs, held_out: Mask, name: str, progress: Progress, stop: Callable[[Epochs], bool]
) -> tuple[Floats, Floats, Epochs]:
    """Fine-tune without one fold, and answer it.

    Returns:
        Logits [pictures of the fold, classes], their distances to the pictures learnt from, and the epochs.
    """
    device, size = inputs.setup.device, inputs.setup.config.train.batch_size
    network, job = _network(inputs, ~held_out), _job(inputs, ~held_out, held_out, name)
    history = finetune(network, job, device, progress, stop)
    bank, own = (pooled(network, part, device, size) for part in (job.train, job.val))
    return predicted(network, job.val, device, size), neighbour_distances(bank, own), history


def _fit(inputs: _Inputs, choice: Choice, progress: Progress) -> Network:
    """The chosen candidate, fitted on all pictures."""
    everything = np.ones(len(inputs.setup.pictures.labels), dtype=bool)
    network = _network(inputs, everything)
    if choice.chosen == "finetuned":
        finetune(network, _job(inputs, everything, ~everything, "whole"), inputs.setup.device, progress)
    return network


def _network(inputs: _Inputs, learnt: Mask) -> Network:
    """The backbone with the linear head of these pictures."""
    pictures, backbone = inputs.setup.pictures, inputs.setup.backbone
    head = fit_head(
        inputs.features[learnt], pictures.labels[learnt], pictures.classes, inputs.settings, blocks=backbone.blocks
    )
    return inputs.setup.device.put(Network(copy.deepcopy(backbone), head.layer()))


def _job(inputs: _Inputs, learnt: Mask, held_out: Mask, name: str) -> Job:
    setup, views = inputs.setup, inputs.views
    pictures, config = setup.pictures, setup.config
    assert views is not None and views.activations is not None
    keys = np.array(pictures.keys)
    cached = (views.activations, views.features, setup.backbone.frozen_width)
    train = CachedPictures(tuple(keys[learnt].tolist()), pictures.labels[learnt], *cached, config.features.views)
    val = CachedPictures(tuple(keys[held_out].tolist()), pictures.labels[held_out], *cached)
    fingerprint = digest(
        views.activations.folder.name,
        config.features.views,
        config.train.model_dump(),
        config.seed,
        inputs.settings.as_json(),
        [[*row] for row in zip(train.keys, train.labels.tolist(), strict=True)],
    )
    return Job(train, val, config.train, pictures.classes, config.seed, setup.checkpoints / f"{name}.pt", fingerprint)


def _history(inputs: _Inputs, evidence: Evidence, choice: Choice) -> History:
    held_out, tuned = evidence.head, evidence.tuned
    head = HeadScores(
        **inputs.settings.as_json(),
        val_accuracy=held_out and held_out.balanced_accuracy,
        val_loss=held_out and held_out.log_loss,
        n_train=len(inputs.setup.pictures.labels),
    )
    return History(
        head=head,
        finetune=_mean(tuned.epochs) if tuned else [],
        guard=tuned.comparison.as_json() if tuned else None,
        chosen=choice.chosen,
        why=choice.why,
    )


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
