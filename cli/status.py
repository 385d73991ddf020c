"""The answer of the command `status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from cli.documents.workspaces import ClassStatus, LastRun, LiveModel, Status
from cli.results import scores_of
from preprocessing.dataset.new_images import count_new_images
from training.evaluation.drift import read_drift
from workspace.catalog import curation
from workspace.catalog.class_progress import ClassProgress, class_progress
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.funnel import funnel_text, remedy_for
from workspace.catalog.hits.questions import Questions, leftover_notes
from workspace.catalog.records import Sample
from workspace.catalog.renamed_classes import plan_carry_over
from workspace.config.model import WorkspaceConfig
from workspace.config.template import set_options
from workspace.errors import WorkspaceError
from workspace.names import NO_CLASS
from workspace.served.kept import KeptPictures
from workspace.storage.champion import Decision, read_champion, read_decisions, settings_of_champion
from workspace.storage.dataset import read_dataset, read_negatives
from workspace.storage.lock import lock_owner
from workspace.storage.paths import Workspace
from workspace.storage.run import next_run, own_settings
from workspace.storage.run_folder import RunFolder
from workspace.terminal import rendered
from workspace.text.counts import counted

_COLUMNS = ("found", "clean", "kept", "to_review", "reviewed", "train", "val", "test")


def read_status(workspace: Workspace, config: WorkspaceConfig) -> Status:
    """Summarise pictures per class, the last run, the live model and the changes since it was trained."""
    run = _latest(workspace)
    samples = read_dataset(run.dataset_file) if run and run.dataset_file.is_file() else []
    with workspace.open_catalog() as catalog:
        states = class_progress(catalog, config.collected)
        usable = catalog.kept(ignoring=[curation.STAGE])
        renamed = plan_carry_over(catalog, config.collected)
        leftovers = leftover_notes(catalog, Questions.of(config))
    negatives = read_negatives(run.negatives_file) if run else []
    champion, decisions, owner = read_champion(workspace), read_decisions(workspace), lock_owner(workspace)
    live = workspace.run(champion.champion) if champion else None
    drift = read_drift(workspace, champion.champion, config.serve.drift_level) if champion else None
    kept_out = bool(decisions) and decisions[-1].action == "kept_champion"
    return Status(
        workspace=str(workspace.root),
        classes=_classes(states, [*samples, *negatives]),
        last_run=_last_run(run, samples) if run else None,
        live_model=_model(champion, champion.champion) if champion else None,
        last_challenger=_model(decisions[-1], decisions[-1].run_id) if champion and kept_out else None,
        changes=_changes(workspace, config, live, usable) if live else [],
        service=drift.sentence() if drift else None,
        unlabelled=len(KeptPictures(workspace).undecided()),
        notes={
            "classes": [f"{note}, with the next step" for note in renamed.notes],
            "decisions": list(renamed.waiting),
            "removed": [*leftovers],
            "too few": _small_classes(workspace, config, states),
            "settings": _own_settings(workspace, config, live),
            "inbox": _inbox(workspace, config),
            "live model": [] if live is None or live.has_model else [_gone(workspace, live)],
        },
        in_use_by=str(owner) if owner else None,
    )


def status_text(status: Status) -> str:
    """Write a status as a table and lines below it."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("class")
    for title in _COLUMNS:
        table.add_column(title.replace("_", " "), justify="right")
    for label, numbers in status.classes.items():
        title = "none (negatives)" if label == NO_CLASS else label
        table.add_row(title, *(f"{getattr(numbers, name):,}" for name in _COLUMNS))
    lines = [(name, text) for name, texts in status.notes.items() for text in texts]
    lines.append(("last run", _run_line(status)))
    if status.live_model is None:
        lines.append(("live model", "none was published yet"))
    else:
        live, nothing = status.live_model, [] if status.notes.get("inbox") else ["nothing has changed"]
        lines.append(("live model", f"{live.run_id}, since {live.since}: {live.why}"))
        if last := status.last_challenger:
            lines.append(("last challenger", f"{last.run_id}, {last.since}: {last.why}"))
        lines += [("since then", text) for text in status.changes or nothing]
        lines += [("service", status.service)] if status.service else []
    if status.unlabelled:
        command = Workspace(Path(status.workspace)).command("review")
        lines.append(("unlabelled", f"{counted(status.unlabelled, 'picture')} that the service kept: {command}"))
    if status.in_use_by:
        lines.append(("now", f"in use by {status.in_use_by}"))
    return rendered(table) + "".join(f"{name:<16}{text}\n" for name, text in lines)


def _classes(states: Mapping[str, ClassProgress], samples: list[Sample]) -> dict[str, ClassStatus]:
    splits = Counter((sample.label, sample.split) for sample in samples)
    return {
        label: ClassStatus(
            found=state.found,
            clean=state.clean,
            kept=state.kept,
            to_review=state.to_review,
            reviewed=state.decided,
            train=splits[label, "train"],
            val=splits[label, "val"],
            test=splits[label, "test"],
        )
        for label, state in states.items()
    }


def _last_run(run: RunFolder, samples: list[Sample]) -> LastRun:
    trained = run.has_model
    return LastRun(
        run_id=run.run_id, pictures=len(samples), trained=trained, scores=scores_of(run) if trained else None
    )


def _model(decision: Decision, run_id: str) -> LiveModel:
    return LiveModel(run_id=run_id, since=decision.made_at, why=decision.why)


def _small_classes(workspace: Workspace, config: WorkspaceConfig, states: Mapping[str, ClassProgress]) -> list[str]:
    """Say of each class that was searched and is too small to train what became of all that was found."""
    small = [
        label
        for label, state in states.items()
        if state.found and state.kept < config.split.min_per_class and label in config.classes
    ]
    if not small:
        return []
    with workspace.open_catalog() as catalog:
        stats = read_collection_stats(catalog, small, Questions.of(config)).by_class
    return [f"{label}: {funnel_text(stats[label])}; {remedy_for(stats[label], label, config)}" for label in small]


def _run_line(status: Status) -> str:
    run = status.last_run
    go_on = next_run(Workspace(Path(status.workspace)))
    if run is None:
        return f"none yet: {go_on}"
    text = f"{run.run_id}, {counted(run.pictures, 'picture')}"
    if not run.trained:
        return f"{text}, not trained to its end; go on with: {go_on}"
    if run.scores is None:
        return f"{text}, trained, not evaluated; go on with: {go_on}"
    test = run.scores.test
    text += f", test accuracy {test.accuracy.value:.3f} on {test.pictures}"
    if (found := run.scores.negatives) is not None:
        text += f", {found.rate.value:.3f} of {found.pictures} negatives get a class"
    return text


def _changes(workspace: Workspace, config: WorkspaceConfig, live: RunFolder, kept: list[tuple[str, str]]) -> list[str]:
    """List the changes since the live model was trained, as sentences."""
    changes = []
    fresh = count_new_images(workspace, config)
    limit = config.retrain.min_new_images
    if fresh.new:
        per_class = ", ".join(f"{label} {count}" for label, count in fresh.per_class.items())
        changes.append(f"{counted(fresh.new, 'new clean picture')} ({per_class}); {limit} start a retraining")
    if live.dataset_file.is_file():
        samples = read_dataset(live.dataset_file)
        trained = {sample.label for sample in samples}
        for names, what in (
            (trained - config.classes.keys(), "no class now"),
            (config.classes.keys() - trained, "new"),
        ):
            changes += [f"the class {name!r} is {what}" for name in sorted(names)]
        before = {(sample.sha256, sample.label) for sample in samples if sample.label in config.classes}
        gone = before - set(kept)
        if gone:
            changes.append(f"of its {len(before):,} pictures {len(gone):,} were dropped, relabelled or withdrawn")
    settings = settings_of_champion(workspace, config)
    if settings.missing:
        changes.append(f"{settings.missing} is missing; `retrain` would take all settings from workspace.toml")
    edited = [name for name in settings.differing if name not in own_settings(live, config)]
    if edited:
        changes.append(f"workspace.toml has other settings: {', '.join(edited)}")
    return changes


def _inbox(workspace: Workspace, config: WorkspaceConfig) -> list[str]:
    if not workspace.inbox.is_dir():
        return []
    from collectors.inbox import waiting  # what collects takes a sixth of a second to import

    return waiting(workspace, config)


def _gone(workspace: Workspace, live: RunFolder) -> str:
    return (
        f"{live.model} holds no model any more, so nothing can answer; put it back, make another one live "
        f"({workspace.command('rollback')}), or train anew: {workspace.command('retrain')}"
    )


def _own_settings(workspace: Workspace, config: WorkspaceConfig, live: RunFolder | None) -> list[str]:
    """Say which settings the live model has that were never those of workspace.toml, and what comes of it."""
    options = set_options(own_settings(live, config)) if live else ""
    if not options:
        return []
    return [
        f"the live model was trained with{options}, given for its run alone; `retrain` keeps to it, `run` goes by "
        f"workspace.toml: to go on with it, write it there, or: {workspace.command('run')}{options}"
    ]


def _latest(workspace: Workspace) -> RunFolder | None:
    try:
        return workspace.latest_run()
    except WorkspaceError:
        return None
