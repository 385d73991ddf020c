"""Read the data of the review page from the catalogue: every image under every label that found it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from preprocessing.neighbours import nearest, unit
from workspace.catalog.catalog import Catalog
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.counts import appearances
from workspace.catalog.curation import STAGE
from workspace.catalog.funnel import funnel_text
from workspace.catalog.hits.questions import Questions
from workspace.catalog.overrides import Change, ChangeResult, decide
from workspace.catalog.records import Cluster, Hit, ImageFacts, Override, Verdict
from workspace.catalog.standing import Pair, count_images, effective_verdicts
from workspace.config.model import WorkspaceConfig
from workspace.errors import WorkspaceError
from workspace.licenses import license_title, web_address
from workspace.names import NO_CLASS
from workspace.storage.arrays import latest_features
from workspace.storage.paths import Workspace

NEIGHBOURS = 8
TITLE = 140
"""Characters of a title that are shown with an image; the rest is in its details."""


@dataclass(slots=True)
class Snapshot:
    """The catalogue at one moment, by (sha256, label) and by sha256; overrides are not in it, as they change."""

    verdicts: dict[Pair, list[Verdict]] = field(default_factory=lambda: defaultdict(list))
    hits: dict[Pair, Hit] = field(default_factory=dict)
    clusters: dict[Pair, int] = field(default_factory=dict)
    facts: dict[str, ImageFacts] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    labels: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    standing: dict[Pair, str] = field(default_factory=dict)


class ReviewData:
    """Reads a workspace for the review page; safe to use from several threads.

    Args:
        workspace: whose images.
        config: its classes.
        catalog: open as long as this is used.
    """

    def __init__(self, workspace: Workspace, config: WorkspaceConfig, catalog: Catalog) -> None:
        self.workspace = workspace
        self.classes = tuple(config.collected)
        self._questions = Questions.of(config)
        self._catalog = catalog
        self._lock = threading.Lock()
        self._stamp: tuple[float, ...] | None = None
        self._snapshot = Snapshot()
        self._features: tuple[list[str], npt.NDArray[np.float32]] | None = None

    def snapshot(self) -> Snapshot:
        """Return the current catalogue; read again only when its files have changed."""
        with self._lock:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._snapshot, self._features, self._stamp = self._read(), None, stamp
            return self._snapshot

    def decide(self, changes: Sequence[Change]) -> list[ChangeResult]:
        """Write decisions; the snapshot holds none, so it stays valid."""
        with self._lock:
            was_current = self._stamp_now() == self._stamp
            results = decide(self._catalog, changes)
            if was_current:
                self._stamp = self._stamp_now()
            return results

    def knows(self, sha256: str, label: str) -> bool:
        """Whether this label found this image, or a check has judged it under the label."""
        snapshot = self.snapshot()
        return (sha256, label) in snapshot.verdicts or (sha256, label) in snapshot.hits

    def overrides(self) -> dict[Pair, Override]:
        """Read the decisions of people, by sha256 and the label that found the image."""
        return {(override.sha256, override.label): override for override in self._catalog.all(Override)}

    def overview(self) -> list[dict[str, Any]]:
        """Count per class: judged images, images to review, and images that a person decided on."""
        counts = count_images(self.snapshot().standing, self._catalog.all(Override))
        return [
            {
                "label": label,
                "negatives": label == NO_CLASS,
                "pictures": counts[label].judged,
                "waiting": counts[label].to_review,
                "decided": counts[label].decided,
            }
            for label in self.classes
        ]

    def empty_classes(self) -> dict[str, str]:
        """Say of each class without a judged image what became of all that was found for it."""
        empty = [item["label"] for item in self.overview() if not item["pictures"]]
        if not empty:
            return {}
        stats = read_collection_stats(self._catalog, empty, self._questions).by_class
        return {label: funnel_text(counts) for label, counts in stats.items()}

    def first_class(self) -> str:
        """Choose the class to open first: the one with most images to review, else with most images."""
        return str(max(self.overview(), key=lambda item: (item["waiting"], item["pictures"]))["label"])

    def pictures(self, label: str) -> list[dict[str, Any]]:
        """List the images found under a label or moved to it: the most suspicious first, the dropped ones last."""
        snapshot, overrides = self.snapshot(), self.overrides()
        pairs = {pair for pair in snapshot.verdicts if pair[1] == label}
        moved = {
            pair
            for pair, override in overrides.items()
            if override.new_label == label and (pair[0], label) not in pairs
        }
        items = [self._item(snapshot, pair, label, overrides.get(pair)) for pair in pairs | moved]
        return sorted(items, key=lambda item: (item["verdict"] == "drop", item["score"], item["sha256"]))

    def details(self, sha256: str, label: str) -> dict[str, Any] | None:
        """Return the details of one image under the label that found it; None if there is no such image."""
        snapshot, overrides = self.snapshot(), self.overrides()
        pair = (sha256, label)
        if not self.knows(sha256, label):
            return None
        verdicts = snapshot.verdicts.get(pair, [])
        names = {verdict.group for verdict in verdicts if verdict.group}
        near_duplicates = sorted({*names, *(sha for name in names for sha in snapshot.groups[name])} - {sha256})
        facts = snapshot.facts.get(sha256)
        return {
            **self._item(snapshot, pair, label, overrides.get(pair)),
            **_source(snapshot.hits.get(pair)),
            "size": f"{facts.width} × {facts.height} px" if facts and facts.width else "",
            "detail": facts.detail if facts else "",
            "assumed": facts.note if facts else "",
            "checks": [
                {"stage": verdict.stage, "verdict": verdict.verdict, "reason": verdict.reason, "score": verdict.score}
                for verdict in verdicts
            ],
            "group": [self._brief(snapshot, sha) for sha in near_duplicates],
            "neighbours": [self._brief(snapshot, sha) for sha in self._neighbours(snapshot, sha256)],
        }

    def _item(self, snapshot: Snapshot, pair: Pair, shown: str, override: Override | None) -> dict[str, Any]:
        sha, label = pair
        worst = _worst(snapshot.verdicts.get((sha, shown), []) or snapshot.verdicts.get(pair, []))
        hit = snapshot.hits.get(pair)
        return {
            "sha256": sha,
            "label": label,
            "verdict": worst.verdict,
            "reason": worst.reason,
            "score": worst.score,
            "cluster": snapshot.clusters.get((sha, shown), 0),
            "title": hit.title[:TITLE] if hit else "",
            "picture": not (sha in snapshot.facts and snapshot.facts[sha].error) and worst.reason != "file_missing",
            "mine": decision_json(override),
        }

    def _brief(self, snapshot: Snapshot, sha256: str) -> dict[str, Any]:
        return {"sha256": sha256, "labels": snapshot.labels.get(sha256, [])}

    def _neighbours(self, snapshot: Snapshot, sha256: str) -> list[str]:
        """Find the nearest images by cosine of features, nearest first; none for an image without features."""
        with self._lock:
            if self._features is None:
                self._features = self._read_features(snapshot)
            keys, vectors = self._features
        if sha256 not in keys:
            return []
        row, numbers = keys.index(sha256), np.arange(len(keys))
        own = slice(row, row + 1)
        indices, _ = nearest(vectors[own], vectors, min(NEIGHBOURS, len(keys) - 1), (numbers[own], numbers))
        return [keys[index] for index in indices[0]]

    def _read_features(self, snapshot: Snapshot) -> tuple[list[str], npt.NDArray[np.float32]]:
        try:
            store = latest_features(self.workspace)
        except WorkspaceError:
            return [], np.zeros((0, 1), np.float32)  # the features step has not run yet
        keys = sorted(sha for sha in snapshot.facts if sha in store)
        if not keys:
            return [], np.zeros((0, 1), np.float32)
        return keys, unit(store.get(keys))

    def _read(self) -> Snapshot:
        snapshot = Snapshot()
        wanted = set(self.classes)
        for verdict in self._catalog.all(Verdict):
            if verdict.label in wanted:
                snapshot.verdicts[verdict.sha256, verdict.label].append(verdict)
                if verdict.group:
                    snapshot.groups[verdict.group].append(verdict.sha256)
        for sha, hit in appearances(self._catalog):
            if hit.label in wanted:
                snapshot.hits.setdefault((sha, hit.label), hit)  # by rank: the first is the best
                if hit.label not in snapshot.labels[sha]:
                    snapshot.labels[sha].append(hit.label)
        snapshot.standing = effective_verdicts(
            verdict for verdicts in snapshot.verdicts.values() for verdict in verdicts
        )
        snapshot.clusters = {(cluster.sha256, cluster.label): cluster.cluster for cluster in self._catalog.all(Cluster)}
        snapshot.facts = {facts.sha256: facts for facts in self._catalog.all(ImageFacts)}
        return snapshot

    def _stamp_now(self) -> tuple[float, ...]:
        pointer = self.workspace.features_pointer
        return (*self.workspace.catalog_stamp(), pointer.stat().st_mtime if pointer.exists() else 0.0)


def decision_json(override: Override | None) -> dict[str, str] | None:
    """Convert a decision to the JSON that the page reads."""
    if override is None:
        return None
    return {"action": override.action, "new_label": override.new_label, "made_at": override.made_at}


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Choose the verdict to show: a drop, else the lowest flag, else the outlier score."""
    order = {"drop": 0, "flag": 1}
    judged = [verdict for verdict in verdicts if verdict.verdict in order or verdict.stage == STAGE]
    return min(
        judged,
        key=lambda verdict: (order.get(verdict.verdict, 2), verdict.score, verdict.stage),
        default=Verdict("", "", "", "keep"),
    )


def _source(hit: Hit | None) -> Mapping[str, Any]:
    if hit is None:
        return {}
    return {
        "full_title": hit.title,
        "creator": hit.creator,
        "source": hit.source,
        "keyword": hit.keyword,
        "rank": hit.rank + 1,
        "license": license_title(hit.license, hit.license_url),
        "license_url": web_address(hit.license_url),
        "page": web_address(hit.page_url, hit.image_url),
    }
