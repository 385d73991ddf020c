"""STEP report → models/champion.json: publish the latest run's model if it is better than the live one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.dataset.groups import groups_today
from preprocessing.images.pixel_cache import PixelCache
from training.evaluation.predictions import label_indices, outputs_of
from training.evaluation.refusals import compare_refusals
from training.inference.classifier import Classifier, decoding_limits
from training.stats.paired_test import PairedAnswer, PairedTest, paired_test
from training.stats.scores import Labels
from workspace.catalog.records import Override, Sample, StepCounts
from workspace.clock import utc_now
from workspace.config.model import WorkspaceConfig
from workspace.errors import ModelError
from workspace.progress import SILENT, Progress
from workspace.storage.champion import Decision, finish_decision, read_champion, read_decisions, record_decision
from workspace.storage.dataset import read_dataset
from workspace.storage.image_store import ImageStore
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import ModelCard
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder

_WORDS = {"published": "published", "kept_champion": "not published", "rolled_back": "live again"}


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Decide whether the latest run's model goes live; a run is decided on once.

    The first model is published. A later one is published when it is right more often than the live one on the test
    images of both, by a paired test (`retrain.publish_level`). Where the two do not know the same classes, the classes
    of `workspace.toml` have changed since: then the new one is published unless it is worse, by the same test, on the
    classes that both know. One that gives classes to more pictures of none,
    by the same test on the negatives of both, stays out either way. A model that a person rolled back from stays out.

    Raises:
        WorkspaceError: there is no run yet, or the decision cannot be written.
        ModelError: the run has no model, or was not evaluated.
    """
    finish_decision(workspace)
    folder, champion = workspace.latest_run(), read_champion(workspace)
    ModelCard.read(folder.card_file)
    test = Metrics.read(folder.metrics_file).test
    own = {"test_n": test.n, "test_accuracy": test.accuracy.value}
    earlier = _earlier_decision(workspace, folder, champion)
    if earlier:
        return _counts(earlier, done=False)
    if champion is None:
        decision = Decision(folder.run_id, "published", folder.run_id, "the first model", utc_now(), own)
    else:
        decision = _challenge(workspace, config, folder, champion.champion, own, progress)
    record_decision(workspace, decision)
    return _counts(decision, done=True)


def _earlier_decision(workspace: Workspace, folder: RunFolder, champion: Decision | None) -> Decision | None:
    """Return the decision on this run that still stands, or None.

    After a rollback a run that was decided on before stays out: what a person went back from is challenged with new
    pictures alone.
    """
    if champion is None:
        return None
    decisions = [decision for decision in read_decisions(workspace) if decision.run_id == folder.run_id]
    published = [decision for decision in decisions if decision.champion == folder.run_id]
    against_champion = [decision for decision in decisions if decision.numbers.get("against") == champion.champion]
    before_rollback = decisions if champion.action == "rolled_back" else []
    standing = published or against_champion or before_rollback
    return standing[-1] if standing else None


def _challenge(
    workspace: Workspace,
    config: WorkspaceConfig,
    folder: RunFolder,
    live: str,
    own: Mapping[str, Any],
    progress: Progress,
) -> Decision:
    numbers: dict[str, Any] = {**own, "against": live}
    challenger = Classifier.load(folder.model, config.train.device)
    try:
        champion = Classifier.load(workspace.run(live).model, config.train.device)
    except ModelError as error:
        why = f"the live model {live} cannot be used any more: {error}"
        return Decision(folder.run_id, "published", folder.run_id, why, utc_now(), numbers)
    fair = fair_test(workspace, workspace.run(live), folder)
    common = [name for name in champion.classes if name in challenger.classes]
    asked = [sample for sample in fair.samples if sample.label in common]
    progress.begin("Comparing with the live model", 2 * len(asked))
    right = [_right(workspace, config, model, asked, common, progress) for model in (champion, challenger)]
    answers = [
        PairedAnswer(sample.group_key, bool(old), bool(new)) for sample, old, new in zip(asked, *right, strict=True)
    ]
    result = paired_test(answers)
    level = config.retrain.publish_level
    better, why = _judge(result, set(champion.classes) == set(challenger.classes), level)
    numbers |= asdict(result) | {"left_out": dict(fair.left_out), "level": level}
    refused = compare_refusals(workspace, config, (workspace.run(live), champion), (folder, challenger), progress)
    if refused:
        numbers["negatives"] = asdict(refused)
        if better and refused.p_worse < level:
            better, why = False, f"it gives classes to more pictures that are of none: {_refusals(refused)}; {why}"
    action, now_live = ("published", folder.run_id) if better else ("kept_champion", live)
    return Decision(folder.run_id, action, now_live, why, utc_now(), numbers)


def _refusals(result: PairedTest) -> str:
    return (
        f"of {result.pictures} negatives ({result.groups} independent) the new model refuses "
        f"{result.challenger_right}, the earlier one {result.champion_right} (p = {result.p_worse:.3g})"
    )


def _judge(result: PairedTest, same_classes: bool, level: float) -> tuple[bool, str]:
    if not same_classes:
        if result.p_worse < level:
            return False, f"it has other classes than the earlier model, but is worse on those that both have: {result}"
        return True, f"the classes have changed, and on those that both models have it is not worse: {result}"
    if not result.pictures:
        return False, "there is no test picture that neither model has learnt from; collect more"
    if result.wins > result.losses and result.p_better < level:
        return True, f"better: {result}"
    if result.wins > result.losses:
        return False, f"not proven better, chance would do as well too often (limit {level:g}): {result}"
    return False, f"not better: {result}"


@dataclass(frozen=True, slots=True)
class FairTest:
    """The test images that neither model has learnt from, and how many were left out by reason."""

    samples: Sequence[Sample]
    left_out: Mapping[str, int]


def fair_test(workspace: Workspace, champion: RunFolder, challenger: RunFolder) -> FairTest:
    """Join the two frozen test sets, less the images that either model was trained on or chosen by.

    An image is left out with all of its group; the groups are those of both runs and of today. Its label is that of
    the newer dataset, or the one a person has given it since; images that a person dropped, or whose file is gone, are
    left out too.

    Raises:
        DatasetError: one of the datasets cannot be read.
    """
    old, new = read_dataset(champion.dataset_file), read_dataset(challenger.dataset_file)
    with workspace.open_catalog() as catalog:
        overrides = {(override.sha256, override.label): override for override in catalog.all(Override)}
        group_of = groups_today(catalog, old, new)
    learnt = {sample.sha256 for sample in (*old, *new) if sample.split != "test"}
    tainted = {group_of[sha] for sha in learnt}
    stored = {sha for sha, _ in ImageStore(workspace).entries()}
    chosen: dict[str, Sample] = {}
    left_out = dict.fromkeys(("learnt_from", "dropped_by_a_person", "file_gone"), 0)
    known = {sample.sha256 for sample in new}
    for sample in (*new, *(sample for sample in old if sample.sha256 not in known)):
        if sample.split != "test":
            continue
        override = overrides.get((sample.sha256, sample.label))
        if group_of[sample.sha256] in tainted:
            left_out["learnt_from"] += 1
        elif override and override.action == "drop":
            left_out["dropped_by_a_person"] += 1
        elif sample.sha256 not in stored:
            left_out["file_gone"] += 1
        else:
            chosen[sample.sha256] = replace(_relabelled(sample, override), group=group_of[sample.sha256])
    learnt_since = {sample.sha256 for sample in old if sample.split == "test" and sample.sha256 in known & learnt}
    left_out["learnt_from"] += len(learnt_since)
    return FairTest([chosen[sha] for sha in sorted(chosen)], {why: n for why, n in left_out.items() if n})


def _relabelled(sample: Sample, override: Override | None) -> Sample:
    relabelled = override is not None and override.action == "relabel"
    return replace(sample, label=override.new_label) if override and relabelled else sample


def _right(
    workspace: Workspace,
    config: WorkspaceConfig,
    model: Classifier,
    samples: Sequence[Sample],
    common: Sequence[str],
    progress: Progress,
) -> npt.NDArray[np.bool_]:
    """Return for each image whether the model's best answer among the common classes is right."""
    if not samples:
        return np.zeros(0, np.bool_)
    cache = PixelCache(workspace, decoding_limits(model, config.clean))
    columns = [model.classes.index(name) for name in common]
    best: Labels = outputs_of(model, cache, samples, progress).logits[:, columns].argmax(1)
    return np.equal(best, label_indices(samples, common))


def _counts(decision: Decision, done: bool) -> StepCounts:
    numbers = {name: decision.numbers.get(name) for name in ("pictures", "challenger_right", "champion_right")}
    by_reason = {decision.action: 1, **{name: value for name, value in numbers.items() if value is not None}}
    word, day = _WORDS[decision.action], decision.made_at.partition("T")[0]
    note = (
        f"{word}: {decision.why}" if done else f"nothing new: this model was decided on {day}: {word}, {decision.why}"
    )
    return StepCounts("publish", int(done), int(not done), by_reason, (note,))
