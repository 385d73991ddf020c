"""Fit the linear head, fine-tune a copy of the last stages, and put together what held-out answers choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.fit.choice import Choice, Evidence, choose
from training.fit.diagnostics import diagnose
from training.fit.finetune import Job, TunedNetwork
from training.fit.head import DEFAULT_STRENGTH, CrossValidation, LinearHead, cross_validate, fit_head
from training.fit.history import GuardScores, HeadScores, History
from training.fit.regime import RegimeDecision, RegimeRecord, decide_regime
from training.fit.schedule import LAST_RATE, epochs_for, last_epochs
from training.fit.tuned_copy import TunedCopy, TuningPlan, train_copy
from training.network.backbone import Backbone, Network, averaged_network
from training.network.device import Device
from training.network.features import Extractor
from training.network.stages import with_folded_batch_norm
from training.network.view_source import ViewSource
from training.network.views import PRESETS, Augmenter
from training.stats.folds import OutOfFold, grouped_folds, most_certain_fold
from training.stats.scores import Floats, Groups, Labels
from workspace.config.model import WorkspaceConfig
from workspace.digest import digest
from workspace.progress import Progress
from workspace.storage.model_card import Augmentation
from workspace.storage.run import model_settings

Mask = npt.NDArray[np.bool_]

START_STRENGTH = 1e-2
"""C of the logistic regression that a fine-tuned copy's head starts from: a weakly fitted one leaves a loss to learn
from (Kumar et al. 2022, LP-FT, arXiv 2202.10054)."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """The pictures to learn from: sha256, their labels int64 [n] of `classes`, and their groups [n]."""

    keys: tuple[str, ...]
    labels: Labels
    groups: Groups
    classes: int


@dataclass(frozen=True, slots=True, eq=False)
class TrainingResult:
    """What training ends with.

    `network` ships, and is `chosen` (head or finetuned) for the reason `why`; `out_of_fold` are the answers of that
    recipe, None when the pictures cannot be parted into folds; `regime` is None when nothing could be diagnosed,
    `augmentation` when it has learnt from clean views alone. `evidence` is what the choice was made by, `head` and
    `copy` the two parts that it was made between; without fine-tuning there is no copy.
    """

    network: Network
    chosen: str
    why: str
    out_of_fold: OutOfFold | None
    history: History
    regime: RegimeRecord | None
    augmentation: Augmentation | None
    evidence: Evidence
    head: LinearHead
    copy: TunedCopy | None


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """What is learnt, with what, and where; everything computed on the way is cached or checkpointed.

    Attributes:
        pictures: what to learn from.
        config: how.
        extractor: whose cache holds the clean features of the pictures.
        backbone: the extractor's; it stays as it is.
        device: where to compute.
        checkpoints: folder for what a killed training goes on from.
    """

    pictures: TrainingSet
    config: WorkspaceConfig
    extractor: Extractor
    backbone: Backbone
    device: Device
    checkpoints: Path


def learn(setup: Setup, progress: Progress) -> TrainingResult:
    """Choose the regime, measure the head and the fine-tuned copy on held-out images, and assemble what ships."""
    pictures, train = setup.pictures, setup.config.train
    fold = grouped_folds(pictures.labels, pictures.groups, setup.config.seed, train.folds)
    decision, regime = _decide(setup, progress)
    features = setup.extractor.head_features(pictures.keys)
    crossed, copy, evidence = None, None, Evidence(None, not_tuned=_NOTHING_HELD_OUT)
    if fold is not None and decision is not None:
        crossed = cross_validate(features, pictures.labels, fold, pictures.classes, setup.backbone.blocks)
        held_out, not_tuned = _held_out(pictures, fold), _why_not_tuned(setup, decision)
        if not not_tuned:
            plan = _plan(setup, features, held_out, decision.tuned_stages(len(setup.backbone.stages)))
            copy = train_copy(plan, setup.device, train.time_limit_s, progress)
            not_tuned = copy.cut_short
        evidence = _evidence(setup, fold, held_out, crossed, copy, not_tuned)
    choice = choose(evidence, train.guard)
    strength = crossed.strength if crossed else DEFAULT_STRENGTH
    tuned = copy.network if copy and choice.chosen == "finetuned" else None
    head = fit_head(features, pictures.labels, pictures.classes, strength, blocks=setup.backbone.blocks)
    return TrainingResult(
        _put_together(setup, head, tuned, choice.share),
        choice.chosen,
        choice.why,
        choice.out_of_fold,
        _history(setup, strength, evidence, copy, choice),
        regime,
        _augmenter(setup).record(setup.config.seed, len(copy.epochs)) if copy and tuned else None,
        evidence,
        head,
        copy,
    )


def fitted_on(pictures: TrainingSet, config: WorkspaceConfig) -> list[int]:
    """Count the images of each part of the fine-tuning that `learn` may run; empty when it runs none."""
    fold = grouped_folds(pictures.labels, pictures.groups, config.seed, config.train.folds)
    if fold is None or not config.train.epochs:
        return []
    return [int((~_held_out(pictures, fold)).sum()), len(fold)]


def _held_out(pictures: TrainingSet, fold: Labels) -> Mask:
    """The images that fine-tuning first leaves out, and is measured on: those of one fold, bool [n]."""
    number = most_certain_fold(pictures.labels, pictures.groups, fold)
    return np.equal(fold, number)


_NOTHING_HELD_OUT = (
    "a class has a single group of pictures (copies, or one creator), so that nothing can be held out to "
    "compare fine-tuning on"
)


def _decide(setup: Setup, progress: Progress) -> tuple[RegimeDecision | None, RegimeRecord | None]:
    """The regime and regime.json; None when nothing can be held out to diagnose."""
    pictures, backbone = setup.pictures, setup.backbone
    features, source = setup.extractor.pooled(pictures.keys), None
    if setup.config.train.weights != "random":
        source = backbone.source_logits(features[backbone.stage_names[-1]])
    diagnosis = diagnose(features, pictures.labels, pictures.groups, source, setup.config.seed)
    if diagnosis is None:
        return None, None
    decision = decide_regime(diagnosis, setting=setup.config.train.regime)
    progress.say(f"regime {decision.regime.value}: {decision.why}")
    return decision, RegimeRecord.of(diagnosis, decision)


def _why_not_tuned(setup: Setup, decision: RegimeDecision) -> str:
    """Why nothing is fine-tuned; empty when something is to be."""
    if setup.config.train.epochs == 0:
        return "fine-tuning is off (train.epochs = 0)"
    if not decision.tuned_stages(len(setup.backbone.stages)):
        return f"the regime is {decision.regime.value}: {decision.why}"
    return ""


def _plan(setup: Setup, features: Floats, held_out: Mask, stages: int) -> TuningPlan:
    """Fine-tune so many stages, from a linear probe on the last stage of the images that are not held out."""
    pictures, config, backbone = setup.pictures, setup.config, setup.backbone
    keys, labels, learnt = np.array(pictures.keys), pictures.labels, ~held_out
    head = fit_head(features[learnt, : backbone.spec.feature_dim], labels[learnt], pictures.classes, START_STRENGTH)
    before = backbone.stages[: len(backbone.stages) - stages]
    rows = [[*row] for row in zip(pictures.keys, labels.tolist(), held_out.tolist(), strict=True)]
    fingerprint = digest(setup.extractor.features.folder.name, stages, model_settings(config), rows)
    count = int(learnt.sum())
    held_in = Job(
        keys=tuple(keys[learnt].tolist()),
        labels=labels[learnt],
        classes=pictures.classes,
        views=ViewSource(setup.extractor.pixels, _augmenter(setup), backbone.spec, config.seed),
        frozen=setup.device.put(with_folded_batch_norm(before, backbone.spec.crop_px)),
        config=config.train,
        epochs=epochs_for(count) if config.train.epochs == "auto" else config.train.epochs,
        seed=config.seed,
        workers=setup.device.view_workers(config.features.workers),
        checkpoint=setup.checkpoints / "held-in.pt",
        fingerprint=f"held-in {fingerprint}",
    )
    everything = replace(
        held_in,
        keys=pictures.keys,
        labels=labels,
        epochs=last_epochs(held_in.epochs),
        rate=LAST_RATE,
        first_view=held_in.epochs,
        seed=config.seed + 1,
        checkpoint=setup.checkpoints / "everything.pt",
        fingerprint=f"everything {fingerprint}",
    )
    network = TunedNetwork(backbone.copy_of_last(stages), head.layer(), config.train.batch_norm_only)
    return TuningPlan(network, held_in, everything, tuple(keys[held_out].tolist()), labels[held_out])


def _evidence(
    setup: Setup, fold: Labels, held_out: Mask, crossed: CrossValidation, copy: TunedCopy | None, not_tuned: str
) -> Evidence:
    """What the head and the copy answer to images that they had not learnt from."""
    pictures = setup.pictures
    head = OutOfFold(pictures.keys, pictures.labels, crossed.logits, fold)
    if copy is None or copy.answers is None:
        return Evidence(head, crossed.last_stage, pictures.groups, not_tuned=not_tuned)
    tuned = np.zeros_like(crossed.logits)
    tuned[held_out] = copy.answers
    return Evidence(head, crossed.last_stage, pictures.groups, tuned, held_out)


def _put_together(setup: Setup, head: LinearHead, tuned: TunedNetwork | None, share: float) -> Network:
    """The head on the frozen backbone, averaged with the fine-tuned copy where there is one."""
    backbone, layer = setup.backbone, head.layer()
    network = averaged_network(backbone, layer, tuned.stages, tuned.head, share) if tuned else Network(backbone, layer)
    return setup.device.put(network).eval()


def _augmenter(setup: Setup) -> Augmenter:
    switches = setup.config.augment
    return Augmenter(PRESETS[switches.strength], switches, setup.backbone.spec.crop_px)


def _history(setup: Setup, strength: float, evidence: Evidence, copy: TunedCopy | None, choice: Choice) -> History:
    held_out = evidence.head
    head = HeadScores(
        C=strength,
        val_accuracy=held_out and held_out.balanced_accuracy,
        val_loss=held_out and held_out.log_loss,
        n_train=len(setup.pictures.labels),
    )
    return History(
        head=head,
        finetune=copy.epochs if copy else (),
        guard=GuardScores.of(choice.comparison) if choice.comparison else None,
        parts=choice.parts,
        tuned_share=choice.share,
        cut_short=copy.cut_short if copy else "",
        chosen=choice.chosen,
        why=choice.why,
    )
