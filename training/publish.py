"""STEP report → models/champion.json: the latest run's model goes live if it is better than the one that is, or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.images.pixel_cache import PixelCache
from training.inference.classifier import Classifier
from training.stats.paired_test import Answer, Comparison, compare
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
from workspace.storage.paths import RunFolder, Workspace

_WORDS = {"published": "published", "kept_champion": "not published", "rolled_back": "live again"}
_PICTURES_AT_A_TIME = 64  # held in memory, decoded


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Decide on the latest run's model; a run that was decided on before is not decided on again.

    The first model is published. Another one is when it is right more often than the live one on the test pictures of
    both, by a paired test (`retrain.publish_level`). Where the two do not know the same classes, `workspace.toml` asks
    another question than the live model answers: then the new one is published unless it is worse, by the same
    test, on the classes that both know. A model that a person rolled back from stays out.

    Raises:
        WorkspaceError: there is no run yet, or the decision cannot be written.
        ModelError: the run has no model, or was not evaluated.
    """
    finish_decision(workspace)
    folder, champion = workspace.latest_run(), read_champion(workspace)
    ModelCard.read(folder.card_file)
    test = Metrics.read(folder.metrics_file).test
    own = {"test_n": test.n, "test_accuracy": test.accuracy.value}
    there = _earlier_decision(workspace, folder, champion)
    if there:
        return _counts(there, done=False)
    if champion is None:
        decision = Decision(folder.run_id, "published", folder.run_id, "the first model", utc_now(), own)
    else:
        decision = _challenge(workspace, config, folder, champion.champion, own, progress)
    record_decision(workspace, decision)
    return _counts(decision, done=True)


def _earlier_decision(workspace: Workspace, folder: RunFolder, champion: Decision | None) -> Decision | None:
    """What was decided on this run, where that still stands."""
    if champion is None:
        return None
    mine = [one for one in read_decisions(workspace) if one.run_id == folder.run_id]
    was_live = [one for one in mine if one.champion == folder.run_id]
    against_it = [one for one in mine if one.numbers.get("against") == champion.champion]
    standing = was_live or against_it
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
    fair = fair_pictures(workspace, workspace.run(live), folder)
    common = [name for name in champion.classes if name in challenger.classes]
    asked = [one for one in fair.samples if one.label in common]
    progress.begin("Comparing with the live model", 2 * len(asked))
    right = [_right(workspace, config, model, asked, common, progress) for model in (champion, challenger)]
    answers = [
        Answer(one.group or one.sha256, bool(old), bool(new)) for one, old, new in zip(asked, *right, strict=True)
    ]
    result = compare(answers)
    better, why = _judge(result, set(champion.classes) == set(challenger.classes), config.retrain.publish_level)
    numbers |= asdict(result) | {"left_out": dict(fair.left_out), "level": config.retrain.publish_level}
    action, now_live = ("published", folder.run_id) if better else ("kept_champion", live)
    return Decision(folder.run_id, action, now_live, why, utc_now(), numbers)


def _judge(result: Comparison, same_classes: bool, level: float) -> tuple[bool, str]:
    if not same_classes:
        if result.p_worse < level:
            return False, f"it knows other classes than the live model, but is worse on those that both know: {result}"
        return True, f"it knows the classes that workspace.toml names now, and is not worse on those of both: {result}"
    if not result.pictures:
        return False, "there is no test picture that neither model has learnt from; collect more"
    if result.wins > result.losses and result.p_better < level:
        return True, f"better: {result}"
    if result.wins > result.losses:
        return False, f"not proven better, chance would do as well too often (limit {level:g}): {result}"
    return False, f"not better: {result}"


@dataclass(frozen=True, slots=True)
class FairPictures:
    """Test pictures that neither model has learnt from, and how many were left out by reason."""

    samples: Sequence[Sample]
    left_out: Mapping[str, int]


def fair_pictures(workspace: Workspace, champion: RunFolder, challenger: RunFolder) -> FairPictures:
    """The union of the two frozen test sets, less what either model was trained on or has chosen by.

    A picture is left out with all of its group. Its label is that of the newer dataset, or what a person has said
    since; one that a person dropped, or whose file is gone, takes no part.

    Raises:
        DatasetError: one of the datasets cannot be read.
    """
    old, new = read_dataset(champion.dataset_file), read_dataset(challenger.dataset_file)
    learnt = {one.sha256 for one in (*old, *new) if one.split != "test"}
    tainted = [{one.group for one in rows if one.sha256 in learnt} - {""} for rows in (old, new)]
    with workspace.open_catalog() as catalog:
        said = {(one.sha256, one.label): one for one in catalog.all(Override)}
    images = ImageStore(workspace)
    chosen: dict[str, Sample] = {}
    left_out = dict.fromkeys(("learnt_from", "dropped_by_a_person", "file_gone"), 0)
    known = {one.sha256 for one in new}
    for rows, groups in ((new, tainted[1]), ([one for one in old if one.sha256 not in known], tainted[0])):
        for one in rows:
            if one.split != "test":
                continue
            word = said.get((one.sha256, one.label))
            if one.sha256 in learnt or one.group in groups:
                left_out["learnt_from"] += 1
            elif word and word.action == "drop":
                left_out["dropped_by_a_person"] += 1
            elif not images.exists(one.sha256):
                left_out["file_gone"] += 1
            else:
                chosen[one.sha256] = _relabelled(one, word)
    learnt_since = {one.sha256 for one in old if one.split == "test" and one.sha256 in known & learnt}
    left_out["learnt_from"] += len(learnt_since)
    return FairPictures([chosen[sha] for sha in sorted(chosen)], {why: n for why, n in left_out.items() if n})


def _relabelled(sample: Sample, word: Override | None) -> Sample:
    return replace(sample, label=word.new_label) if word and word.action == "relabel" else sample


def _right(
    workspace: Workspace,
    config: WorkspaceConfig,
    model: Classifier,
    samples: Sequence[Sample],
    common: Sequence[str],
    progress: Progress,
) -> npt.NDArray[np.bool_]:
    """Whether the model's best answer among the common classes is right, per picture."""
    clean = config.clean.model_copy(update={"cache_side_px": model.card.cache_side_px})
    cache = PixelCache(workspace, clean)
    columns = [model.classes.index(name) for name in common]
    right: list[bool] = []
    for start in range(0, len(samples), _PICTURES_AT_A_TIME):
        batch = samples[start : start + _PICTURES_AT_A_TIME]
        best = model.probabilities([cache.read(one.sha256) for one in batch])[:, columns].argmax(1)
        right += [common[place] == one.label for place, one in zip(best, batch, strict=True)]
        progress.advance(len(batch))
    return np.array(right, dtype=np.bool_)


def _counts(decision: Decision, done: bool) -> StepCounts:
    numbers = {name: decision.numbers.get(name) for name in ("pictures", "challenger_right", "champion_right")}
    by_reason = {decision.action: 1, **{name: value for name, value in numbers.items() if value is not None}}
    return StepCounts("publish", int(done), int(not done), by_reason, (f"{_WORDS[decision.action]}: {decision.why}",))
