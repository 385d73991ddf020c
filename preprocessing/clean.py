"""STEP images → verdicts: decode every new file once, then judge each image: keep, flag or drop, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from preprocessing.duplicates.fingerprint import unpacked
from preprocessing.duplicates.registration_cache import register_pairs
from preprocessing.extract_facts import ExamineShard, examine_shard
from preprocessing.images.formats import FORMATS
from preprocessing.verdicts import STAGES, verdicts_for
from workspace.catalog.catalog import Catalog
from workspace.catalog.counts import (
    appearances,
    assumed_count,
    facts_count,
    refused_files,
    same_bytes_count,
    stored_thumbs,
)
from workspace.catalog.records import ImageFacts, Override, StepCounts, Verdict
from workspace.config.clean import CleanConfig
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT, Progress
from workspace.reasons import FILE_LOST, SAME_BYTES, in_order
from workspace.spread.shards import HERE, Spread, batches, divide, side_by_side
from workspace.storage.image_store import FOLDER, ImageStore, mark_lost, record_lost_files
from workspace.storage.paths import Workspace
from workspace.text.counts import counted

BATCH = 32
"""Facts per commit: what a kill loses at most."""


def run(
    workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT, *, spread: Spread = HERE
) -> StepCounts:
    """Extract the facts of new files, then judge the whole catalogue anew from its facts.

    Verdicts depend on facts, hits, decisions and settings alone, so changed limits need no decoding. Labels that are
    no longer in the config get no verdict.

    Args:
        workspace: whose files.
        config: the limits.
        progress: advances by each file that is decoded.
        spread: where files are decoded and compared.

    Raises:
        WorkspaceError: the catalogue or the cache cannot be written.
        ShardLost: files ended every process that decoded them; the facts of all others are stored.
    """
    clean = config.clean.model_copy(update={"workers": spread.processes(config.clean.workers)})
    with workspace.open_catalog() as catalog:
        lost = record_lost_files(workspace, catalog)
        retried = _refused_under_other_limits(catalog, clean)
        reused = facts_count(catalog) - len(retried)
        todo = sorted({*catalog.files_to_examine(), *retried})
        progress.begin("Decoding", len(todo))
        shards = (ExamineShard(files, workspace, clean) for files in divide(todo, spread.shard_size()))
        for batch in batches(spread.run(examine_shard, side_by_side(shards), name="decode"), BATCH):
            lost += _put(workspace, catalog, batch)
            progress.advance(len(batch))
        verdicts = verdicts_for(
            (_within_limit(facts, clean) for facts in catalog.each(ImageFacts)),
            lambda names: unpacked(stored_thumbs(catalog, names)),
            appearances(catalog, config.collected),
            clean,
            partial(register_pairs, workspace, clean, progress=progress, spread=spread),
            spread,
            # A label that is no class now would win the picture from the class that took its place.
            [row for row in catalog.all(Override) if (row.new_label or row.label) in config.collected],
        )
        catalog.replace_verdicts(STAGES, verdicts)
        by_reason = _count(verdicts, same_bytes_count(catalog))
        assumed = assumed_count(catalog)
    notes = _notes(workspace, lost, assumed)
    for note in notes:
        progress.warn(note)
    return StepCounts("clean", done=len(todo), reused=reused, by_reason=by_reason, notes=notes)


def _notes(workspace: Workspace, lost: int, assumed: int) -> tuple[str, ...]:
    notes = []
    if lost:
        where = workspace.files.where(FOLDER)
        notes.append(
            f"{counted(lost, 'file')} of {where}, lost or cut off as by a power cut, must be fetched again: "
            f"{workspace.command('collect')}"
        )
    if assumed:
        notes.append(
            f"{counted(assumed, 'picture')} with grey values of more than 8 bits, whose range was assumed; it stands "
            f"beside each in `{workspace.command('review')}`"
        )
    return tuple(notes)


def _put(workspace: Workspace, catalog: Catalog, found: Sequence[ImageFacts]) -> int:
    """Store the facts of files; one whose bytes are not those of its name is lost. Returns how many are."""
    lost = [facts.sha256 for facts in found if facts.error == FILE_LOST]
    for sha in lost:
        ImageStore(workspace).delete(sha)
    mark_lost(catalog, lost)
    catalog.put(facts for facts in found if facts.error != FILE_LOST)
    return len(lost)


def _count(verdicts: list[Verdict], same_bytes: int) -> Mapping[str, int]:
    dropped = Counter(verdict.reason for verdict in verdicts if verdict.verdict == "drop")
    gone = {(verdict.sha256, verdict.label) for verdict in verdicts if verdict.verdict == "drop"}
    flagged = Counter(
        verdict.reason
        for verdict in verdicts
        if verdict.verdict == "flag" and (verdict.sha256, verdict.label) not in gone
    )
    judged = {(verdict.sha256, verdict.label) for verdict in verdicts}
    kept = len(judged) - dropped.total()  # a pair is dropped at most once
    return {
        "kept": kept,
        SAME_BYTES: same_bytes,
        **in_order(dropped),
        **{f"flagged {reason}": count for reason, count in in_order(flagged).items()},
    }


def _within_limit(facts: ImageFacts, clean: CleanConfig) -> ImageFacts:
    """Apply a pixel limit that was lowered after the file was decoded."""
    if facts.width * facts.height > clean.max_megapixels * 1e6:
        return replace(facts, error="too_many_pixels")
    return facts


def _refused_under_other_limits(catalog: Catalog, clean: CleanConfig) -> list[str]:
    """Find the files refused under limits or formats that have changed since; their detail names the old ones."""
    today = {
        "too_many_pixels": f"limit is {clean.max_megapixels:g} megapixels",
        "decoder_timeout": f"after {clean.decoder_timeout_s:g} s",
        "decoder_memory": f"than {clean.decoder_memory_mb:g} MB",
        "format_not_allowed": f"opened are {', '.join(FORMATS)}",
    }
    return [sha for sha, error, detail in refused_files(catalog, today) if today[error] not in detail]
