"""The text of the command `status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rich.table import Table

from flows.retrain import settings_of_champion
from preprocessing.dataset.new_images import count_new_images
from training.evaluation.drift import read_drift
from workspace.catalog import curation
from workspace.catalog.class_progress import ClassProgress, class_progress
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.funnel import funnel_text, remedy_for
from workspace.catalog.records import Sample
from workspace.catalog.renamed_classes import plan_carry_over
from workspace.config.model import WorkspaceConfig
from workspace.errors import WorkspaceError
from workspace.names import NO_CLASS
from workspace.served.kept import KeptPictures
from workspace.storage.champion import read_champion, read_decisions
from workspace.storage.dataset import read_dataset, read_negatives
from workspace.storage.lock import lock_owner
from workspace.storage.metrics import Metrics
from workspace.storage.paths import RunFolder, Workspace
from workspace.terminal import rendered


def status_text(workspace: Workspace, config: WorkspaceConfig) -> str:
    """Summarise pictures per class, the last run, the live model and the changes since it was trained."""
    run = _latest(workspace)
    samples = read_dataset(run.dataset_file) if run and run.dataset_file.is_file() else []
    with workspace.open_catalog() as catalog:
        states = class_progress(catalog, config.collected)
        usable = catalog.kept(ignoring=[curation.STAGE])
        renamed = plan_carry_over(catalog, config.collected)
    negatives = read_negatives(run.negatives_file) if run else []
    splits = Counter((sample.label, sample.split) for sample in (*samples, *negatives))
    table = Table(show_edge=False, pad_edge=False)
    for title in ("class", "found", "clean", "kept", "to review", "reviewed", "train", "val", "test"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for label, state in states.items():
        counts = (state.found, state.clean, state.kept, state.to_review, state.decided)
        table.add_row(
            "none (negatives)" if label == NO_CLASS else label,
            *(f"{n:,}" for n in (*counts, *(splits[label, part] for part in ("train", "val", "test")))),
        )
    lines = [("classes", f"{note}, with the next step") for note in renamed.notes]
    lines += [("decisions", note) for note in renamed.waiting]
    lines += [("too few", text) for text in _small_classes(workspace, config, states)]
    lines += _lines(workspace, config, run, samples, usable)
    return rendered(table) + "".join(f"{name:<16}{text}\n" for name, text in lines)


def _lines(
    workspace: Workspace,
    config: WorkspaceConfig,
    run: RunFolder | None,
    samples: list[Sample],
    kept: list[tuple[str, str]],
) -> list[tuple[str, str]]:
    lines = [("last run", _run_line(run, samples) if run else f"none yet: {workspace.command('run')}")]
    champion = read_champion(workspace)
    if champion is None:
        lines.append(("live model", "none was published yet"))
    else:
        lines.append(("live model", f"{champion.champion}, since {champion.made_at}: {champion.why}"))
        last = read_decisions(workspace)[-1]
        if last.action == "kept_champion":
            lines.append(("last challenger", f"{last.run_id}, {last.made_at}: {last.why}"))
        lines += [("since then", text) for text in _changes(workspace, config, workspace.run(champion.champion), kept)]
        drift = read_drift(workspace, champion.champion, config.serve.drift_level)
        lines += [("service", drift.sentence())] if drift else []
    if unlabelled := len(KeptPictures(workspace).undecided()):
        lines.append(("unlabelled", f"{unlabelled:,} pictures that the service kept: {workspace.command('review')}"))
    owner = lock_owner(workspace)
    if owner:
        lines.append(("now", f"in use by {owner}"))
    return lines


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
        stats = read_collection_stats(catalog, small).by_class
    return [f"{label}: {funnel_text(stats[label])}; {remedy_for(stats[label], label, config)}" for label in small]


def _run_line(run: RunFolder, samples: list[Sample]) -> str:
    text = f"{run.run_id}, {len(samples):,} pictures"
    if not run.has_model:
        return f"{text}, not trained to its end"
    metrics = Metrics.read_if_present(run.metrics_file)
    if metrics is None:
        return f"{text}, trained, not evaluated"
    text += f", test accuracy {metrics.test.accuracy.value:.3f} on {metrics.test.n}"
    if (found := metrics.negatives) is not None:
        text += f", {found.rate.value:.3f} of {found.n} negatives get a class"
    return text


def _changes(workspace: Workspace, config: WorkspaceConfig, live: RunFolder, kept: list[tuple[str, str]]) -> list[str]:
    """List the changes since the live model was trained, as sentences."""
    changes = []
    fresh = count_new_images(workspace, config)
    limit = config.retrain.min_new_images
    if fresh.new:
        per_class = ", ".join(f"{label} {count}" for label, count in fresh.per_class.items())
        changes.append(f"{fresh.new:,} new clean pictures ({per_class}); {limit} start a retraining")
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
            changes.append(f"{len(gone):,} of its {len(before):,} pictures were dropped or relabelled")
    settings = settings_of_champion(workspace, config)
    if settings.missing:
        changes.append(f"{settings.missing} is missing; `retrain` would take all settings from workspace.toml")
    if settings.differing:
        changes.append(f"workspace.toml has other settings: {', '.join(settings.differing)}")
    return changes or ["nothing has changed"]


def _latest(workspace: Workspace) -> RunFolder | None:
    try:
        return workspace.latest_run()
    except WorkspaceError:
        return None
