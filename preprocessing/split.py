"""STEP → runs/<run_id>/dataset.parquet: the pictures that stay, in train, val and test, with their groups whole."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from preprocessing.dataset.groups import groups_of
from preprocessing.dataset.stratify import SPLITS, stratify
from preprocessing.images.decode import DECODER_VERSION
from workspace.catalog import curation
from workspace.catalog.records import Hit, ImageFacts, Sample, StepCounts, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.config.template import render_config
from workspace.errors import DatasetError
from workspace.progress import SILENT, Progress
from workspace.storage.champion import read_decisions
from workspace.storage.dataset import dataset_bytes, read_dataset
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace, digest, write_atomic
from workspace.storage.run import RECIPE_VERSION, model_settings


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Freeze the pictures that stay as a run, and make it the latest; an equal one is found and taken again.

    Once a model was decided on, its pictures keep their splits, so that the next model is measured on test pictures
    that neither of the two has learnt from.

    The run's name is a digest of its rows, of the settings that shape a model, and of the recipe's version.

    Raises:
        DatasetError: a class has too few pictures, or too few that are independent; names class, count and remedy.
    """
    with workspace.open_catalog() as catalog:
        facts = {one.sha256: one for one in catalog.all(ImageFacts) if not one.error}
        kept = [
            (sha, label)
            for sha, label in catalog.kept(ignoring=[curation.STAGE])
            if label in config.classes and sha in facts
        ]
        proposals = curation.open_proposals(catalog)
        hits = catalog.appearances()
        verdicts = catalog.all(Verdict)
    applied = {pair for pair, one in proposals.items() if one.verdict == "drop"}
    _refuse_small_classes([pair for pair in kept if pair not in applied], verdicts, config)
    group_of = groups_of(kept, hits, verdicts)
    labels: dict[str, Counter[str]] = {}
    for sha, label in kept:
        labels.setdefault(group_of[sha], Counter())[label] += 1
    split_of = stratify(labels, config.split, config.seed, earlier_splits(workspace, group_of))
    best = _best_hits(hits)
    samples = [
        _sample(
            workspace, pair, split_of[group_of[pair[0]]], group_of[pair[0]], best, facts[pair[0]], pair in proposals
        )
        for pair in kept
    ]
    samples = _apply(applied, samples)
    folder = workspace.run(_run_id(samples, config))
    there = folder.dataset_file.is_file() and folder.config_file.is_file()
    if not there:
        header = f"# frozen settings of run {folder.run_id}\n"
        write_atomic(folder.config_file, render_config(config, header=header).encode())
        write_atomic(folder.dataset_file, dataset_bytes(samples))  # last: a run without it was not finished
    workspace.point_to(folder.run_id)
    counts = Counter(one.split for one in samples)
    return StepCounts(
        "split",
        done=0 if there else len(samples),
        reused=len(samples) if there else 0,
        by_reason={split: counts[split] for split in SPLITS},
        notes=_notes(samples),
    )


def _apply(applied: Collection[tuple[str, str]], samples: Sequence[Sample]) -> list[Sample]:
    """Leave out what curate drops, in train and val alone: what is hard to learn must not leave the test unseen.

    A class keeps the last picture that it has in a split.
    """
    staying = Counter((one.split, one.label) for one in samples if (one.sha256, one.label) not in applied)
    left: list[Sample] = []
    for one in samples:
        place = (one.split, one.label)
        if one.split == "test" or (one.sha256, one.label) not in applied or not staying[place]:
            left.append(one)
            staying[place] += 1
    return left


def earlier_splits(workspace: Workspace, group_of: Mapping[str, str]) -> dict[str, str]:
    """The splits that groups bring from the runs that were decided on, published or not.

    A group with a picture that was ever in test is in test as a whole. For the others the latest run counts; where
    new pictures join groups that were in train and in val, the joined group is in train.

    Args:
        workspace: whose runs.
        group_of: today's group by sha256.
    """
    tested: set[str] = set()
    latest: dict[str, str] = {}
    for run_id in dict.fromkeys(one.run_id for one in read_decisions(workspace)):
        file = workspace.run(run_id).dataset_file
        if not file.is_file():
            continue  # a person has deleted that run
        now: dict[str, str] = {}
        for sample in read_dataset(file):
            if sample.sha256 in group_of:
                group = group_of[sample.sha256]
                tested |= {group} if sample.split == "test" else set()
                now[group] = "train" if "train" in (sample.split, now.get(group)) else sample.split
        latest |= now
    return latest | dict.fromkeys(tested, "test")


def _refuse_small_classes(
    kept: Sequence[tuple[str, str]], verdicts: Sequence[Verdict], config: WorkspaceConfig
) -> None:
    counts = Counter(label for _, label in kept)
    problems = []
    for label in config.classes:
        if counts[label] < config.split.min_per_class:
            dropped = Counter(one.reason for one in verdicts if one.label == label and one.verdict == "drop")
            reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items())) or "none"
            problems.append(f"  {label!r} has {counts[label]} (dropped: {reasons})")
    if problems:
        raise DatasetError(
            f"a class needs at least {config.split.min_per_class} clean pictures (split.min_per_class):\n"
            + "\n".join(problems)
            + "\nGive it more keywords under [classes], or raise search.per_class, then run again"
        )


def _best_hits(hits: Sequence[tuple[str, Hit]]) -> dict[tuple[str, str], Hit]:
    """The hit that speaks for each (sha256, label), and (sha256, "") for any: licence known first, then rank."""
    best: dict[tuple[str, str], Hit] = {}
    for sha, hit in sorted(hits, key=lambda one: (not one[1].license, one[1].rank, one[1].source, one[1].image_url)):
        best.setdefault((sha, hit.label), hit)
        best.setdefault((sha, ""), hit)
    return best


def _sample(
    workspace: Workspace,
    key: tuple[str, str],
    split: str,
    group: str,
    best: Mapping[tuple[str, str], Hit],
    facts: ImageFacts,
    flagged: bool,
) -> Sample:
    sha, label = key
    hit = best.get(key) or best[sha, ""]  # a person may have moved it to a label that did not find it
    return Sample(
        sha256=sha,
        label=label,
        split=split,
        group=group,
        file=ImageStore(workspace).key(sha),
        source=hit.source,
        keyword=hit.keyword,
        image_url=hit.image_url,
        page_url=hit.page_url,
        title=hit.title,
        creator=hit.creator,
        license=hit.license,
        license_url=hit.license_url,
        attribution=hit.attribution,
        width=facts.width,
        height=facts.height,
        flagged=flagged,
    )


def _run_id(samples: Sequence[Sample], config: WorkspaceConfig) -> str:
    rows = sorted(dataclasses.astuple(one) for one in samples)
    return digest(rows, model_settings(config), DECODER_VERSION, RECIPE_VERSION)


def _notes(samples: Sequence[Sample]) -> tuple[str, ...]:
    notes = []
    for label in sorted({one.label for one in samples}):
        mine = [one for one in samples if one.label == label]
        for split in ("val", "test"):
            if sum(one.split == split for one in mine) == 1:
                notes.append(f"{label!r} has a single picture in {split}: its numbers there say little")
        size = max(Counter(one.group for one in mine).values())
        if 2 * size > len(mine):
            notes.append(f"{size} of {len(mine)} pictures of {label!r} form one group (copies, or one creator)")
    return tuple(notes)
