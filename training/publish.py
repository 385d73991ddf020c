"""STEP report → models/champion.json: publish the latest run's model if it is better than the live one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.images.pixel_cache import PixelCache
from training.evaluation.fair_test import FairTest, fair_test
from training.evaluation.predictions import label_indices, outputs_of
from training.evaluation.refusals import compare_refusals
from training.inference.classifier import Classifier, decoding_limits
from training.stats.paired_test import PairedAnswer, PairedTest, paired_test
from training.stats.scores import Labels
from workspace.catalog.records import Sample, StepCounts
from workspace.clock import utc_now
from workspace.config.model import WorkspaceConfig
from workspace.errors import ModelError
from workspace.progress import SILENT, Progress
from workspace.storage.champion import Decision, finish_decision, read_champion, read_decisions, record_decision
from workspace.storage.metrics import Metrics
from workspace.storage.model_card import ModelCard
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import CARD_NAME, RunFolder
from workspace.text.counts import counted

_NUMBERS = {
    "pictures": "test pictures",
    "challenger_right": "right by the new model",
    "champion_right": "right by the earlier model",
}


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Decide whether the latest run's model goes live; a run is decided on once.

    The first model is published. A later one is published when it is right more often than the live one on the test
    images of both, by a paired test (`retrain.publish_level`). It is published unless it is worse, by the same test on
    the classes that both know, where they do not know the same classes, since those of `workspace.toml` have changed,
    where the live one has learnt from images that were withdrawn since, and where it answers with names that classes no
    longer have; a class with a new name is the same class. One that gives classes to more pictures of none, by the same
    test on the negatives of both, stays out either way. A model that a person rolled back from stays out.

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
        counts = _counts(workspace, earlier, done=False)
        if champion and earlier.champion == folder.run_id != champion.champion:
            by_a_person = champion.action == "rolled_back"
            since = "a person went back from it" if by_a_person else f"a later model, {champion.champion}, replaced it"
            note = f"{since} since; to make it live again: {workspace.command('rollback')} --to {folder.run_id}"
            counts = replace(counts, notes=(*counts.notes, note))
        return counts
    if champion is None:
        decision = Decision(folder.run_id, "published", folder.run_id, "the first model", utc_now(), own)
    else:
        decision = _challenge(workspace, config, folder, champion.champion, own, progress)
    record_decision(workspace, decision)
    return _counts(workspace, decision, done=True)


def _earlier_decision(workspace: Workspace, folder: RunFolder, champion: Decision | None) -> Decision | None:
    """Return the decision on this run that still stands, or None.

    After a rollback a run that was decided on before stays out: what a person went back from is challenged with new
    pictures alone.
    """
    if champion is None or not workspace.run(champion.champion, f"model/{CARD_NAME}").has_model:
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
    known = [fair.renamed.get(name, name) for name in champion.classes]
    common = [name for name in known if name in challenger.classes]
    asked = [sample for sample in fair.samples if sample.label in common]
    progress.begin("Comparing with the live model", 2 * len(asked))
    right = [
        _right(workspace, config, model, classes, asked, common, progress)
        for model, classes in ((champion, known), (challenger, challenger.classes))
    ]
    answers = [
        PairedAnswer(sample.group_key, bool(old), bool(new)) for sample, old, new in zip(asked, *right, strict=True)
    ]
    result = paired_test(answers)
    level = config.retrain.publish_level
    better, why = _judge(result, _why_lenient(fair, known, challenger.classes), len(common), level)
    flagged = sum(sample.flagged for sample in asked)
    numbers |= asdict(result) | {"left_out": dict(fair.left_out), "flagged": flagged, "level": level}
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


def _why_lenient(fair: FairTest, known: Sequence[str], classes: Sequence[str]) -> str:
    """Why the new model need not be better than the live one, but only not worse; empty: it must be better."""
    if set(known) != set(classes):
        return "the classes have changed"
    if fair.withdrawn:
        were = "was" if fair.withdrawn == 1 else "were"
        return f"the live model has learnt from {counted(fair.withdrawn, 'picture')} that {were} withdrawn since"
    if fair.renamed:
        return "classes have new names: " + ", ".join(f"{old!r} is {new!r}" for old, new in fair.renamed.items())
    return ""


def _judge(result: PairedTest, lenient: str, common: int, level: float) -> tuple[bool, str]:
    """Decide by the paired test; `common` is the number of classes that both models know."""
    if lenient and common < 2:
        return True, f"{lenient}, and the models share {counted(common, 'class')}, too few to compare them"
    if lenient and not result.pictures:
        return True, f"{lenient}, and there is no test picture of theirs that neither has learnt from"
    if lenient and result.p_worse < level:
        return False, f"{lenient}, but on the classes that both models know the new one is worse: {result}"
    if lenient:
        return True, f"{lenient}, and on the classes that both models know the new one is not worse: {result}"
    if not result.pictures:
        return False, "there is no test picture that neither model has learnt from; collect more"
    if result.wins > result.losses and result.p_better < level:
        return True, f"better: {result}"
    if result.wins > result.losses:
        return False, f"not proven better, chance would do as well too often (limit {level:g}): {result}"
    if result.champion_right == result.pictures:
        return False, f"not better, and no model can be until there are more test pictures: {result}"
    return False, f"not better: {result}"


def _right(
    workspace: Workspace,
    config: WorkspaceConfig,
    model: Classifier,
    classes: Sequence[str],
    samples: Sequence[Sample],
    common: Sequence[str],
    progress: Progress,
) -> npt.NDArray[np.bool_]:
    """Return for each image whether the model's best answer among the common ones of its classes is right."""
    if not samples:
        return np.zeros(0, np.bool_)
    cache = PixelCache(workspace, decoding_limits(model, config.clean))
    columns = [classes.index(name) for name in common]
    best: Labels = outputs_of(model, cache, samples, progress).logits[:, columns].argmax(1)
    return np.equal(best, label_indices(samples, common))


def _counts(workspace: Workspace, decision: Decision, done: bool) -> StepCounts:
    numbers = {words: decision.numbers.get(name) for name, words in _NUMBERS.items()}
    by_reason = {decision.words: 1, **{words: value for words, value in numbers.items() if value is not None}}
    day = decision.made_at.partition("T")[0]
    notes = [
        f"{decision.words}: {decision.why}"
        if done
        else f"nothing new: this model was decided on {day}: {decision.words}, {decision.why}"
    ]
    if flagged := decision.numbers.get("flagged"):
        notes.append(
            f"{flagged} of these {decision.numbers['pictures']} test pictures are flagged as off topic or mislabelled; "
            f"to look at them: {workspace.command('review')}"
        )
    if done and decision.action == "kept_champion":
        notes.append(f"to publish it all the same: {workspace.command('rollback')} --to {decision.run_id}")
    return StepCounts("publish", int(done), int(not done), by_reason, tuple(notes))
