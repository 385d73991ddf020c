"""Judge images: from the facts of every file to its verdicts under each label that found it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from preprocessing.duplicates.fingerprint import Fingerprint, ThumbsOf, fingerprint_of
from preprocessing.duplicates.group import Copies, best_first, find_copies
from preprocessing.duplicates.match import EDITED
from preprocessing.duplicates.orientation import MIRRORED
from preprocessing.duplicates.registration_cache import RegisterPairs
from preprocessing.quality.checks import Finding, judge
from workspace.catalog.hits.label_ranks import REVIEWED, LabelRank, better_rank, label_rank
from workspace.catalog.overrides import KEEP, RELABEL
from workspace.catalog.records import Hit, ImageFacts, Override, Verdict
from workspace.config.clean import CleanConfig
from workspace.names import NO_CLASS
from workspace.reasons import COPY_OF_CLASS, EDITED_COPY
from workspace.spread.shards import HERE, Spread

Ranks = Mapping[str, Mapping[str, LabelRank]]
"""By sha256, the rank of every label that it has."""

STAGES = ("decode", "check", "copy")
"""The stages whose verdicts are made here, in the order in which an image passes them."""


def verdicts_for(
    facts: Iterable[ImageFacts],
    thumbs: ThumbsOf,
    appearances: Iterable[tuple[str, Hit]],
    clean: CleanConfig,
    register: RegisterPairs | None = None,
    spread: Spread = HERE,
    decisions: Iterable[Override] = (),
) -> list[Verdict]:
    """Judge every (sha256, label) that appears. Depends only on the arguments, not on their order.

    Args:
        facts: of each file once; an appearance without facts is dropped as `file_missing`.
        thumbs: gives the thumbs of decoded images.
        appearances: which hit found which file, as workspace/catalog/counts.py gives them.
        clean: the limits.
        register: registers pairs that may be edited copies.
        spread: where hashes are searched.
        decisions: of people; under a label that one of them gave, an image loses all its others.

    Returns:
        By sha256, label and stage. An image that a stage drops has no verdict of the later ones.
    """
    ranks: dict[str, dict[str, LabelRank]] = {}
    licensed: set[str] = set()
    for sha, hit in appearances:
        labels = ranks.setdefault(sha, {})
        labels[hit.label] = better_rank(hit, labels.get(hit.label))
        if hit.license:
            licensed.add(sha)
    verdicts: list[Verdict] = []
    passed: list[Fingerprint] = []
    missing = dict.fromkeys(ranks)
    for image in facts:
        if image.sha256 not in ranks:
            continue
        del missing[image.sha256]
        refused = Finding("drop", image.error, 0.0)
        stage, finding = ("decode", refused) if image.error else ("check", judge(image, clean))
        verdicts += _each_label(image.sha256, ranks, stage, finding)
        if finding.outcome != "drop":
            passed.append(fingerprint_of(image))
    for sha in missing:
        verdicts += _each_label(sha, ranks, "decode", Finding("drop", "file_missing", 0.0))
    ordered = sorted(passed, key=lambda image: best_first(image, image.sha256 in licensed))
    copies = find_copies(passed, thumbs, licensed, clean, register, spread)
    with_decisions = _with_decisions(ranks, decisions)
    judged = copy_verdicts("copy", ordered, with_decisions, copies, clean.rank_margin)
    verdicts += (verdict for verdict in judged if verdict.label in ranks[verdict.sha256])
    return sorted(verdicts, key=lambda verdict: (verdict.sha256, verdict.label, STAGES.index(verdict.stage)))


def _with_decisions(ranks: Ranks, decisions: Iterable[Override]) -> Ranks:
    """Rank first the labels that people gave in `review`, whether or not a hit has found the image under them.

    The only label of an image that was moved keeps its verdict, which counts again once the decision is undone.
    """
    decided: dict[str, dict[str, LabelRank]] = {}
    for row in decisions:
        found = ranks.get(row.sha256, {})
        if row.action == KEEP or (row.action == RELABEL and found.keys() - {row.label, row.new_label}):
            labels = decided.setdefault(row.sha256, dict(found))
            labels[row.new_label or row.label] = label_rank(REVIEWED, 0)
    return {**ranks, **decided} if decided else ranks


def _each_label(sha256: str, ranks: Ranks, stage: str, finding: Finding) -> Iterator[Verdict]:
    for label in ranks[sha256]:
        yield Verdict(sha256, label, stage, finding.outcome, finding.reason, finding.score)


def copy_verdicts(
    stage: str,
    ordered: Sequence[Fingerprint],
    ranks: Ranks,
    copies: Copies,
    margin: int,
) -> list[Verdict]:
    """Judge copies: which copy of each image is kept, and under which label.

    A negative that is a copy of a class's image is flagged, and takes nothing from the class, unless its origin is the
    stronger one: a person's own folder before a search, a decision before both.

    Args:
        stage: whose verdicts these are.
        ordered: the images, the best first (`best_first`).
        ranks: for each of them, its rank under every label that it has.
        copies: the copies and near-duplicate groups among them.
        margin: difference of rank between two labels of an image from which on the better one keeps it; that of another
            origin is always the better or the worse one.
    """
    stars: dict[str, list[Fingerprint]] = {}
    for image in ordered:
        stars.setdefault(copies.kept[image.sha256], []).append(image)
    verdicts = []
    names = Counter(copies.group.values())
    for members in stars.values():
        label = _winner([ranks[image.sha256] for image in members], margin)
        # The best copy may have been found under another label only: then the best of those under this one stays.
        kept = next((image for image in members if label in ranks[image.sha256]), members[0])
        for image in members:
            for appeared in ranks[image.sha256]:
                reason = "two_labels" if appeared != label else _difference(image, kept, copies)
                group = copies.group[image.sha256]
                group = group if names[group] > 1 else ""
                if appeared == NO_CLASS != label:
                    verdicts.append(Verdict(image.sha256, appeared, stage, "flag", COPY_OF_CLASS, 0.0, kept.sha256))
                elif reason:
                    verdicts.append(Verdict(image.sha256, appeared, stage, "drop", reason, 0.0, kept.sha256))
                else:
                    verdicts.append(Verdict(image.sha256, appeared, stage, "keep", group=group))
    return verdicts


def _winner(ranks: Iterable[Mapping[str, LabelRank]], margin: int) -> str | None:
    """Choose the label that keeps an image: the only class, or the one that ranks it higher by origin or the margin.

    No class counts only by a stronger origin than that of every class.
    """
    best: dict[str, LabelRank] = {}
    for labels in ranks:
        for label, rank in labels.items():
            best[label] = min(rank, best.get(label, rank))
    classes = best.keys() - {NO_CLASS}
    is_negative = NO_CLASS in best and all(best[NO_CLASS].origin < best[label].origin for label in classes)
    order = sorted({NO_CLASS} if is_negative else classes, key=lambda label: (best[label], label))
    if len(order) == 1:
        return order[0]
    first, second = best[order[0]], best[order[1]]
    return order[0] if first.origin < second.origin or first.rank + margin <= second.rank else None


def _difference(copy: Fingerprint, kept: Fingerprint, copies: Copies) -> str:
    """Name the reason for dropping a copy; empty for the kept image itself."""
    if copy.sha256 == kept.sha256:
        return ""
    if copy.pixel_digest == kept.pixel_digest:
        return "same_pixels"
    orientations = copies.orientation[copy.sha256], copies.orientation[kept.sha256]
    if EDITED in orientations:
        return EDITED_COPY
    if orientations[0] == orientations[1]:
        return "near_copy"
    return "mirrored_copy" if max(orientations) == MIRRORED else "turned_copy"
