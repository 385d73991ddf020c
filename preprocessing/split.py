"""STEP → runs/<run_id>/dataset.parquet: split the kept images into train, val and test; groups stay whole."""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from preprocessing.dataset.groups import groups_of
from preprocessing.dataset.negatives import choose_negatives, divide
from preprocessing.dataset.stratify import SPLITS, stratify
from preprocessing.images.decode import DECODER_VERSION
from workspace.catalog import curation
from workspace.catalog.catalog import Catalog
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.counts import appearances, creators, sizes
from workspace.catalog.funnel import funnel_text, remedy_for
from workspace.catalog.hits.questions import Questions
from workspace.catalog.records import Hit, Sample, StepCounts, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.config.storage import StorageConfig
from workspace.config.template import render_config
from workspace.digest import digest
from workspace.errors import DatasetError
from workspace.files.atomic import write_atomic
from workspace.progress import SILENT, Progress
from workspace.storage.champion import read_decisions
from workspace.storage.dataset import dataset_bytes, read_dataset
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.storage.run import RECIPE_VERSION, model_settings, record_own_settings
from workspace.text.counts import counted

FEW_NEGATIVES = 40
"""Fewer independent negatives come with a note: half of them measure, and of 20 one more or less is 5 points."""


def run(workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT) -> StepCounts:
    """Freeze the kept images as a run and make it the latest; an existing run with the same content is reused.

    Once a model was decided on, its images keep their splits, so that the next model is evaluated on test images
    that neither of the two was trained on.

    The run id is a digest of its rows, of the settings that shape a model, and of the recipe's version.

    Raises:
        DatasetError: a class has too few images, or too few independent ones; names class, count and remedy.
    """
    with workspace.open_catalog() as catalog:
        size_of = sizes(catalog)
        kept = [
            (sha, label)
            for sha, label in catalog.kept(ignoring=[curation.STAGE])
            if label in config.classes and sha in size_of
        ]
        proposals = curation.open_proposals(catalog)
        applied = {pair for pair, proposal in proposals.items() if proposal.verdict == "drop"}
        _refuse_small_classes(catalog, (pair for pair in kept if pair not in applied), config)
        copies = curation.grouped(catalog)
        group_of = groups_of(kept, creators(catalog), copies)
        best = _best_hits(kept, appearances(catalog))
        of_a_class = {sha for sha, _ in kept}
        of_no_class = [
            pair for pair in choose_negatives(catalog, config) if pair[0] in size_of and pair[0] not in of_a_class
        ]
        negatives = _negatives(workspace, config, catalog, of_no_class, size_of, copies)
    split_of = _split_of_groups(workspace, kept, group_of, config)
    stored = ImageStore(workspace).keys({sha for sha, _ in kept})
    samples = [
        _sample(stored[pair[0]], pair, split_of[group], group, hit, size_of[pair[0]], pair in proposals)
        for pair, hit, group in zip(kept, best, (group_of[sha] for sha, _ in kept), strict=True)
    ]
    del best, size_of, group_of, split_of, stored, kept  # hundreds of bytes for each image
    samples = _apply(applied, samples)
    folder = workspace.run(_run_id(samples, negatives, config))
    exists = folder.dataset_file.is_file() and folder.config_file.is_file()
    if not exists:
        header = f"# frozen settings of run {folder.run_id}\n"
        frozen = config.model_copy(update={"storage": StorageConfig()})  # a run says nothing of where it lies
        write_atomic(folder.config_file, render_config(frozen, header=header).encode())
        if negatives:
            write_atomic(folder.negatives_file, dataset_bytes(negatives))
        record_own_settings(workspace, folder, frozen)
        write_atomic(folder.dataset_file, dataset_bytes(samples))  # last: a run without it was not finished
    workspace.keep(folder)
    workspace.point_to(folder.run_id)
    counts = Counter(sample.split for sample in samples)
    notes = (*_notes(samples), *_negative_notes(negatives, config))
    for note in notes:
        progress.warn(note)
    return StepCounts(
        "split",
        done=0 if exists else len(samples),
        reused=len(samples) if exists else 0,
        by_reason={split: counts[split] for split in SPLITS} | ({"negatives": len(negatives)} if negatives else {}),
        notes=notes,
    )


def refuse_small_classes(workspace: Workspace, config: WorkspaceConfig) -> None:
    """Refuse classes that are too small whatever `curate` says of them, before weights are loaded for `features`.

    Raises:
        DatasetError: a class has fewer than `split.min_per_class` clean images; names what became of all found.
    """
    with workspace.open_catalog() as catalog:
        _refuse_small_classes(catalog, catalog.kept(ignoring=[curation.STAGE]), config)


def _split_of_groups(
    workspace: Workspace, kept: Iterable[tuple[str, str]], group_of: Mapping[str, str], config: WorkspaceConfig
) -> dict[str, str]:
    labels: dict[str, Counter[str]] = {}
    for sha, label in kept:
        labels.setdefault(group_of[sha], Counter())[label] += 1
    return stratify(labels, config.split, config.seed, earlier_splits(workspace, group_of))


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


def earlier_splits(
    workspace: Workspace,
    group_of: Mapping[str, str],
    name: str = "dataset.parquet",
) -> dict[str, str]:
    """Look up the splits that groups have in the runs that were decided on, published or not.

    A group with an image that was ever in test is in test as a whole. For the others the latest run counts; where
    new images join groups that were in train and in val, the joined group is in train.

    Args:
        workspace: whose runs.
        group_of: today's group by sha256.
        name: of the file that names the splits.
    """
    tested: set[str] = set()
    latest: dict[str, str] = {}
    for run_id in dict.fromkeys(decision.run_id for decision in read_decisions(workspace)):
        file = workspace.run(run_id, name).root / name
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


def _refuse_small_classes(catalog: Catalog, kept: Iterable[tuple[str, str]], config: WorkspaceConfig) -> None:
    """Raise DatasetError for classes with too few images: what became of all that was found, and what helps."""
    counts = Counter(label for _, label in kept)
    small = [label for label in config.classes if counts[label] < config.split.min_per_class]
    if not small:
        return
    stats = read_collection_stats(catalog, small, Questions.of(config))
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


def _best_hits(kept: Sequence[tuple[str, str]], found: Iterable[tuple[str, Hit]]) -> list[Hit]:
    """Choose the hit of each (sha256, label): licence known first, then rank; `found` comes by sha256.

    A person may have moved an image to a label that did not find it: then the best of all its hits counts.
    """
    rows: dict[str, list[int]] = {}
    for row, (sha, _) in enumerate(kept):
        rows.setdefault(sha, []).append(row)
    best: dict[int, Hit] = {}
    for sha, of_file in itertools.groupby(found, key=operator.itemgetter(0)):
        if sha in rows:
            hits = sorted((hit for _, hit in of_file), key=_licensed_first)
            for row in rows.pop(sha):
                best[row] = next((hit for hit in hits if hit.label == kept[row][1]), hits[0])
    return [best[row] for row in range(len(kept))]


def _licensed_first(hit: Hit) -> tuple[bool, int, str, str]:
    return (not hit.license, hit.rank, hit.source, hit.image_url)


def _sample(
    file: str,
    key: tuple[str, str],
    split: str,
    group: str,
    hit: Hit,
    size: tuple[int, int],
    flagged: bool,
) -> Sample:
    sha, label = key
    return Sample(
        sha256=sha,
        label=label,
        split=split,
        group=group,
        file=file,
        source=hit.source,
        keyword=hit.keyword,
        image_url=hit.image_url,
        page_url=hit.page_url,
        title=hit.title,
        creator=hit.creator,
        license=hit.license,
        license_url=hit.license_url,
        attribution=hit.attribution,
        width=size[0],
        height=size[1],
        flagged=flagged,
    )


def _negatives(
    workspace: Workspace,
    config: WorkspaceConfig,
    catalog: Catalog,
    chosen: Sequence[tuple[str, str]],
    size_of: Mapping[str, tuple[int, int]],
    copies: Sequence[Verdict],
) -> list[Sample]:
    """Freeze the chosen negatives, divided by groups of their own."""
    if not chosen:
        return []
    group_of = groups_of(chosen, creators(catalog), copies)
    earlier = earlier_splits(workspace, group_of, "negatives.parquet")
    part_of = divide(Counter(group_of[sha] for sha, _ in chosen), config.seed, earlier)
    stored = ImageStore(workspace).keys({sha for sha, _ in chosen})
    return [
        _sample(stored[pair[0]], pair, part_of[group_of[pair[0]]], group_of[pair[0]], hit, size_of[pair[0]], False)
        for pair, hit in zip(chosen, _best_hits(chosen, appearances(catalog)), strict=True)
    ]


def _run_id(samples: Sequence[Sample], negatives: Sequence[Sample], config: WorkspaceConfig) -> str:
    row = operator.attrgetter(*(field.name for field in dataclasses.fields(Sample)))  # astuple copies every text
    rows = sorted(map(row, samples))
    others = (sorted(map(row, negatives)),) if negatives else ()  # a run without any has the id that it always had
    return digest(rows, model_settings(config), DECODER_VERSION, RECIPE_VERSION, *others)


def _negative_notes(negatives: Sequence[Sample], config: WorkspaceConfig) -> tuple[str, ...]:
    groups = len({sample.group for sample in negatives})
    if not config.negatives.wanted or groups >= FEW_NEGATIVES:
        return ()
    if not negatives:
        return ('no negative is clean, so "none" is set by the classes\' own pictures alone',)
    return (f"only {len(negatives)} negatives ({groups} independent): the rate of false acceptance will say little",)


def _notes(samples: Sequence[Sample]) -> tuple[str, ...]:
    notes = []
    for label in sorted({sample.label for sample in samples}):
        members = [sample for sample in samples if sample.label == label]
        for split in ("val", "test"):
            if sum(sample.split == split for sample in members) == 1:
                notes.append(f"{label!r} has a single picture in {split}: its numbers there say little")
        size = max(Counter(sample.group for sample in members).values())
        if 2 * size > len(members):
            notes.append(
                f"{size} of {counted(len(members), 'picture')} of {label!r} form one group (copies, or one creator)"
            )
    return tuple(notes)
