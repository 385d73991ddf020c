"""STEP features → verdicts: propose off-topic images and label errors to a person, and cluster each class."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from preprocessing.curation.clusters import clusters_of
from preprocessing.curation.label_issues import find_label_issues
from preprocessing.curation.outliers import Floats, Ints, centred, outlier_scores
from preprocessing.dataset.groups import groups_of
from preprocessing.edited_copies import STAGE as NEAR_COPY
from preprocessing.edited_copies import find_edited_copies
from preprocessing.neighbours import EXACT_UP_TO
from workspace.catalog.counts import creators
from workspace.catalog.curation import STAGE, decided_by_people, grouped, own_verdicts, replace_clusters
from workspace.catalog.records import Cluster, StepCounts, Verdict
from workspace.config.model import WorkspaceConfig
from workspace.digest import digest
from workspace.files.atomic import write_json
from workspace.progress import SILENT, Progress
from workspace.reasons import EDITED_COPY, LABEL_ISSUE, OFF_TOPIC, in_order
from workspace.spread.shards import HERE, Spread
from workspace.storage.arrays import latest_features
from workspace.storage.paths import Workspace
from workspace.text.counts import counted

VERSION = 1
"""Part of a result's digest: raise it when the same images and settings would be judged differently."""

Pair = tuple[str, str]
Mask = npt.NDArray[np.bool_]


def run(
    workspace: Workspace, config: WorkspaceConfig, progress: Progress = SILENT, *, spread: Spread = HERE
) -> StepCounts:
    """Score every kept image and propose the worst of each class; drops only with `curate.apply`.

    An image that a person has decided on is not proposed again. The same images, features, decisions and settings
    give the same verdicts, and are not judged twice.

    Args:
        workspace: whose images.
        config: the limits.
        progress: receives progress.
        spread: where possible copies are compared.

    Raises:
        WorkspaceError: there are no features yet, or the catalogue cannot be written.
        ShardLost: as `register_pairs` does.
    """
    store = latest_features(workspace)
    with workspace.open_catalog() as catalog:
        edited, recall = find_edited_copies(workspace, config, catalog, progress, spread)
        catalog.replace_verdicts([NEAR_COPY], edited)
        pairs = [pair for pair in catalog.kept(ignoring=[STAGE]) if pair[1] in config.classes]
        featured = [pair for pair in pairs if pair[0] in store]
        copies = [verdict for verdict in grouped(catalog) if verdict.stage != STAGE]
        groups = groups_of(featured, creators(catalog), copies)
        decided = decided_by_people(catalog)
        settings = (config.curate.model_dump(), config.seed, VERSION, store.folder.name)
        name = digest(featured, groups, sorted(decided), settings, length=32)
        proposals = own_verdicts(catalog)
        before, now = _last(workspace), {"inputs": name, "neighbour_recall": recall}
        done = before.get("inputs") == name and {(row.sha256, row.label) for row in proposals} == set(featured)
        if not done:
            proposals, clusters = _judge(featured, groups, store.get, decided, config, progress)
            catalog.replace_verdicts([STAGE], proposals)
            replace_clusters(catalog, clusters)
        if now != before:
            write_json(workspace.curation_file, now)
    notes = _notes(workspace, proposals, len(pairs) - len(featured), recall)
    for note in notes:
        progress.warn(note)
    return StepCounts(
        "curate",
        done=0 if done else len(featured),
        reused=len(featured) if done else 0,
        by_reason=_count(proposals, edited),
        notes=notes,
    )


def _judge(
    pairs: Sequence[Pair],
    groups: Mapping[str, str],
    features: Callable[[Sequence[str]], Floats],
    decided: Collection[Pair],
    config: WorkspaceConfig,
    progress: Progress,
) -> tuple[list[Verdict], list[Cluster]]:
    """Compute the verdict and the cluster of every pair, in the order of the pairs."""
    if not pairs:
        return [], []
    progress.begin("Curating", 3)
    names, labels = np.unique([label for _, label in pairs], return_inverse=True)
    _, members = np.unique([groups[sha] for sha, _ in pairs], return_inverse=True)
    vectors = centred(features([sha for sha, _ in pairs]), labels)
    typical = outlier_scores(vectors, labels, members)
    progress.advance()
    issues = find_label_issues(vectors, labels, members, config.seed)
    progress.advance()
    clusters = np.zeros(len(pairs), np.int64)
    for number in range(len(names)):
        rows = labels == number
        clusters[rows] = clusters_of(vectors[rows], config.curate.max_clusters, config.seed)
    free = np.array([pair not in decided for pair in pairs])
    off_topic = _worst(typical, free & (typical < config.curate.off_topic_below), labels, config.curate.off_topic_share)
    mislabelled = _worst(issues.confidence, free & issues.suspect, labels, config.curate.label_issue_share)
    proposed = "drop" if config.curate.apply else "flag"
    verdicts = []
    for row, (sha, label) in enumerate(pairs):
        # The lower of the two is the score of the image; both are written in [0, 1].
        scores = {OFF_TOPIC: max(0.0, float(typical[row])), LABEL_ISSUE: float(issues.confidence[row])}
        reasons = [name for name, chosen in ((OFF_TOPIC, off_topic), (LABEL_ISSUE, mislabelled)) if chosen[row]]
        reason = min(reasons, key=lambda name: scores[name], default="")
        score = round(min(scores.values()), 4)
        verdicts.append(Verdict(sha, label, STAGE, proposed if reason else "keep", reason, score))
    progress.advance()
    found = [Cluster(sha, label, int(number)) for (sha, label), number in zip(pairs, clusters, strict=True)]
    return verdicts, found


def _worst(scores: Floats, eligible: Mask, labels: Ints, share: float) -> Mask:
    """Select the lowest scores of the eligible, at most this share of each class; ties in the order of the rows."""
    chosen = np.zeros(len(scores), np.bool_)
    for label in np.unique(labels):
        rows = np.flatnonzero((labels == label) & eligible)
        most = int(share * np.count_nonzero(labels == label))
        chosen[rows[np.argsort(scores[rows], kind="stable")[:most]]] = True
    return chosen


def neighbour_recall(workspace: Workspace) -> float:
    """Read the share of the nearest neighbours that the last search for edited copies found; 1 where it was exact."""
    recall = _last(workspace).get("neighbour_recall", 1.0)
    return float(recall) if isinstance(recall, float | int) else 1.0


def _last(workspace: Workspace) -> dict[str, object]:
    """Read what the last curation was made from; empty: never made, or the cache was deleted."""
    try:
        said = json.loads(workspace.curation_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _count(verdicts: Sequence[Verdict], edited: Sequence[Verdict]) -> dict[str, int]:
    reasons = Counter(dict.fromkeys((EDITED_COPY, OFF_TOPIC, LABEL_ISSUE), 0))
    reasons.update(verdict.reason for verdict in (*verdicts, *edited) if verdict.verdict != "keep")
    return {"judged": len(verdicts), **in_order(reasons)}


def _notes(workspace: Workspace, verdicts: Sequence[Verdict], without: int, recall: float) -> tuple[str, ...]:
    notes = []
    flagged = sum(verdict.verdict == "flag" for verdict in verdicts)
    if flagged:
        notes.append(
            f"{counted(flagged, 'picture')} flagged as off topic or mislabelled, kept until a person has looked: "
            f"{workspace.command('review')}"
        )
    if recall < 1:
        notes.append(
            f"edited copies were looked for among approximate nearest neighbours, since there are over {EXACT_UP_TO} "
            f"pictures; by a sample, the search found {recall:.1%} of the true neighbours"
        )
    if without:
        notes.append(f"{counted(without, 'picture')} without features yet: {workspace.command('features')}")
    return tuple(notes)
