"""STEP → runs/<run_id>/dataset.parquet: split the kept images into train, val and test; groups stay whole."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from preprocessing.dataset.groups import groups_of
from preprocessing.dataset.stratify import SPLITS, stratify
from preprocessing.images.decode import DECODER_VERSION
from workspace.catalog import curation
from workspace.catalog.catalog import Catalog
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.funnel import funnel_text, remedy_for
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
    """Freeze the kept images as a run and make it the latest; an existing run with the same content is reused.

    Once a model was decided on, its images keep their splits, so that the next model is evaluated on test images
    that neither of the two was trained on.

    The run id is a digest of its rows, of the settings that shape a model, and of the recipe's version.

    Raises:
        DatasetError: a class has too few images, or too few independent ones; names class, count and remedy.
    """
    with workspace.open_catalog() as catalog:
        facts = {facts.sha256: facts for facts in catalog.all(ImageFacts) if not facts.error}
        kept = [
            (sha, label)
            for sha, label in catalog.kept(ignoring=[curation.STAGE])
            if label in config.classes and sha in facts
        ]
        proposals = curation.open_proposals(catalog)
        hits = catalog.appearances()
        verdicts = catalog.all(Verdict)
        applied = {pair for pair, proposal in proposals.items() if proposal.verdict == "drop"}
        _refuse_small_classes(catalog, [pair for pair in kept if pair not in applied], config)
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
    exists = folder.dataset_file.is_file() and folder.config_file.is_file()
    if not exists:
        header = f"# frozen settings of run {folder.run_id}\n"
        write_atomic(folder.config_file, render_config(config, header=header).encode())
        write_atomic(folder.dataset_file, dataset_bytes(samples))  # last: a run without it was not finished
    workspace.point_to(folder.run_id)
    counts = Counter(sample.split for sample in samples)
    return StepCounts(
        "split",
        done=0 if exists else len(samples),
        reused=len(samples) if exists else 0,
        by_reason={split: counts[split] for split in SPLITS},
        notes=_notes(samples),
    )


def _apply(applied: Collection[tuple[str, str]], samples: Sequence[Sample]) -> list[Sample]:
    """Remove what curate drops from train and val; removing hard images from test would inflate the accuracy.

    A class keeps at least one image in each split.
    """
    remaining = Counter(
        (sample.split, sample.label) for sample in samples if (sample.sha256, sample.label) not in applied
    )
    selected: list[Sample] = []
    for sample in samples:
        stratum = (sample.split, sample.label)
        if sample.split == "test" or (sample.sha256, sample.label) not in applied or not remaining[stratum]:
            selected.append(sample)
            remaining[stratum] += 1
    return selected


def earlier_splits(workspace: Workspace, group_of: Mapping[str, str]) -> dict[str, str]:
    """Look up the splits that groups have in the runs that were decided on, published or not.

    A group with an image that was ever in test is in test as a whole. For the others the latest run counts; where
    new images join groups that were in train and in val, the joined group is in train.

    Args:
        workspace: whose runs.
        group_of: today's group by sha256.
    """
    tested: set[str] = set()
    latest: dict[str, str] = {}
    for run_id in dict.fromkeys(decision.run_id for decision in read_decisions(workspace)):
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


def _refuse_small_classes(catalog: Catalog, kept: Sequence[tuple[str, str]], config: WorkspaceConfig) -> None:
    """Raise DatasetError for classes with too few images: what became of all that was found, and what helps."""
    counts = Counter(label for _, label in kept)
    small = [label for label in config.classes if counts[label] < config.split.min_per_class]
    if not small:
        return
    stats = read_collection_stats(catalog, small)
    lines = []
    for label in small:
        failed = "".join(
            f", {search.source} failed for {search.keyword!r} ({search.reason})"
            for search in stats.failed_searches
            if search.label == label
        )
        found = stats.by_class[label]
        lines.append(
            f"  {label!r} has {counts[label]}: {funnel_text(found)}{failed}; {remedy_for(found, label, config)}"
        )
    raise DatasetError(
        f"a class needs at least {config.split.min_per_class} clean pictures (split.min_per_class):\n"
        + "\n".join(lines)
        + "\nThen run again; a smaller split.min_per_class is possible, but says little about the model"
    )


def _best_hits(hits: Sequence[tuple[str, Hit]]) -> dict[tuple[str, str], Hit]:
    """Choose the hit of each (sha256, label), and of (sha256, "") for any label: licence known first, then rank."""
    best: dict[tuple[str, str], Hit] = {}
    for sha, hit in sorted(
        hits, key=lambda pair: (not pair[1].license, pair[1].rank, pair[1].source, pair[1].image_url)
    ):
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
    rows = sorted(dataclasses.astuple(sample) for sample in samples)
    return digest(rows, model_settings(config), DECODER_VERSION, RECIPE_VERSION)


def _notes(samples: Sequence[Sample]) -> tuple[str, ...]:
    notes = []
    for label in sorted({sample.label for sample in samples}):
        members = [sample for sample in samples if sample.label == label]
        for split in ("val", "test"):
            if sum(sample.split == split for sample in members) == 1:
                notes.append(f"{label!r} has a single picture in {split}: its numbers there say little")
        size = max(Counter(sample.group for sample in members).values())
        if 2 * size > len(members):
            notes.append(f"{size} of {len(members)} pictures of {label!r} form one group (copies, or one creator)")
    return tuple(notes)
