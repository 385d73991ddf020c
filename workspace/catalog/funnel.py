"""Say where the pictures of a class were lost between search and data set, and what helps against the largest loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from workspace.catalog.collection_stats import BY_A_PERSON, ClassCounts
from workspace.config.model import WorkspaceConfig
from workspace.names import name_key
from workspace.reasons import LICENSE_NOT_WANTED, LICENSE_UNKNOWN, find_reason, in_order

_SAME_FILE, _WAITING, _NOT_ASKED, _UNJUDGED = "same file", "waiting", "not asked", "unjudged"
_STATUS_WORDS = {"failed": "failed", "refused": "refused", "skipped": "left out", "withdrawn": "withdrawn"}

_SETTINGS = {
    "too_large": "download.max_mb",
    "too_many_pixels": "clean.max_megapixels",
    "decoder_timeout": "clean.decoder_timeout_s",
    "decoder_memory": "clean.decoder_memory_mb",
    "too_small": "clean.min_side_px",
    "extreme_aspect": "clean.max_aspect",
    "blank": "clean.min_contrast",
    "training_refused": "clean.flag_reserved",
    "placeholder": "clean.max_two_tone",
    "mostly_text": "clean.max_text",
    "animated": "clean.max_frames",
    "too_dark": "clean.min_highlights",
    "too_bright": "clean.max_shadows",
    "low_detail": "clean.min_entropy",
    "blurred": "clean.min_sharpness",
}
"""The setting that decides on a reason."""

_REMEDIES = {
    _SAME_FILE: "many of them are one and the same file, such as a notice in place of the picture: open one, then name "
    "other sources or files",
    _WAITING: "they were not fetched yet: run `collect-and-train collect` again",
    _NOT_ASKED: "they were found only by keywords or sources that were removed: name those again, or give the class "
    "more keywords",
    _UNJUDGED: "they were not cleaned yet: run `collect-and-train clean`",
    LICENSE_UNKNOWN: "relax search.licenses or search.exclude_licenses, or name sources that give licences",
    LICENSE_NOT_WANTED: "relax search.licenses or search.exclude_licenses, or name other sources",
    "private_address": "if the host is yours, name it in network.private_hosts",
    "outside_folder": "put the files themselves into search.folder.path, not links to another place",
    "missing": "put the files back into their folder",
    "file_missing": "put the files back, or run `collect-and-train retry`",
    "unreadable": "make the files readable",
    "file_lost": "their files under images/ were lost: run `collect-and-train collect` again",
    "not_recorded": "record anew with --record, or collect without --replay",
    "stopped": "run the same command again",
    "robots": "the sites refuse them: name other sources",
    "two_labels": "the same pictures are found for several classes: give each class keywords that tell it apart",
}
_REVIEW = "look at them again with `collect-and-train review`"
_BY_OUTCOME = {
    ("download", "failed"): "their URLs lead to no picture: take a newer list, or name other sources",
    ("download", "refused"): "what their URLs lead to is not taken: name other sources",
    ("download", "skipped"): "give the class more keywords or sources",
    ("download", "withdrawn"): "`forget` withdrew them: give the class more keywords or sources",
    ("decode", "drop"): "the files cannot be read as pictures: replace them, or name other sources",
    ("copy", "flag"): _REVIEW,
    ("copy", "drop"): "they are copies of each other: give the class more keywords or sources",
}
_OF_OWN_FILES: Mapping[str | tuple[str, str], str] = {
    "two_labels": "the same pictures are in several classes: leave each in one of them",
    ("download", "refused"): "they are no pictures that can be opened: replace them",
    ("decode", "drop"): "the files cannot be read as pictures: replace them",
}
"""Where a person's own files are the only source, which has no keywords to change and no other source beside it."""
_RETRY = "the servers did not deliver: run `collect-and-train retry` later"
_MORE = "give the class more keywords under [classes], or more sources"


def funnel_text(counts: ClassCounts) -> str:
    """Describe what became of everything found for a class, each loss by reason.

    Example:
        >>> funnel_text(ClassCounts(found=8, downloaded=3, not_downloaded=Counter({"failed: http_404": 5}), kept=3))
        '8 found, 5 failed (http_404 5), 3 kept'
    """
    parts = [f"{counts.found:,} found"]
    for status, word in _STATUS_WORDS.items():
        reasons = {name.partition(": ")[2]: n for name, n in counts.not_downloaded.items() if name.startswith(status)}
        parts += _part(word, reasons)
    parts += [f"{counts.waiting:,} not fetched yet"] if counts.waiting else []
    if counts.not_asked:
        parts.append(f"{counts.not_asked:,} found only by removed keywords or sources, and not fetched")
    parts += [f"{counts.same_file:,} the same file as another"] if counts.same_file else []
    parts += _part("dropped", counts.dropped)
    parts += [f"{counts.unjudged:,} not cleaned yet"] if counts.unjudged else []
    parts += [f"{counts.moved_here:,} moved here by a person"] if counts.moved_here else []
    return ", ".join((*parts, f"{counts.kept:,} kept"))


def has_losses(counts: ClassCounts) -> bool:
    """Return whether anything that was found for a class is not in it."""
    return bool(_losses(counts))


def is_mostly_kept(counts: ClassCounts) -> bool:
    """Return whether more is kept than was lost for any one reason."""
    return max(_losses(counts).values(), default=0) < max(1, counts.kept)


def remedy_for(counts: ClassCounts, label: str, config: WorkspaceConfig) -> str:
    """Say what helps against the largest loss of a class; where more is kept than that, only more pictures help.

    Args:
        counts: of the class.
        label: the class.
        config: names its keywords and the limits.
    """
    losses = _losses(counts)
    more = more_of(label, config, config.split.min_per_class - counts.kept)
    if not counts.found:
        if _is_own(config):
            return more
        return (
            "no source found anything for its keywords: try other words or other sources; "
            "`collect-and-train sources --check` shows which are up"
        )
    if is_mostly_kept(counts):
        return "raise search.per_class" if counts.kept >= config.search.per_class else more
    name = max(losses, key=lambda reason: losses[reason])
    if name == "two_labels" and (shared := _shared_keywords(label, config)):
        return f"{shared}: give each class keywords of its own"
    return remedy_of(name, config, more)


def more_of(label: str, config: WorkspaceConfig, lacking: int = 0) -> str:
    """Say how a class gets more pictures: into a person's own folder or table, else by keywords and sources.

    Args:
        label: the class.
        config: names its keywords and the sources.
        lacking: how many it needs; 0 or less: some.
    """
    if not _is_own(config):
        return _MORE
    number = f"at least {lacking} more" if lacking > 0 else "more"
    rows, pictures = ("row", "picture") if lacking == 1 else ("rows", "pictures")
    word = next(iter(config.collected.get(label, ())), label)
    if config.search.sources == ("url_list",):
        return f"add {number} {rows} of {word!r} to {config.search.url_list.file}"
    place = config.search.folder.place
    if (place / word).is_dir():
        return f"put {number} {pictures} into {place / word}"
    return f"add {number} {pictures} of {word!r} to {place}"


def _is_own(config: WorkspaceConfig) -> bool:
    return config.search.sources in (("folder",), ("url_list",))


def remedy_of(name: str, config: WorkspaceConfig, more: str = _MORE) -> str:
    """Say what helps against one reason, as the catalogue or ClassCounts names it.

    Args:
        name: of the reason.
        config: the settings.
        more: how the class gets more pictures.
    """
    reason = find_reason(name)
    outcome = (reason.stage, reason.outcome) if reason else ("", "")
    if name in BY_A_PERSON.values() or (reason and reason.stage == "curate"):
        return _REVIEW
    if name in _SETTINGS:
        section, key = _SETTINGS[name].split(".")
        value = getattr(getattr(config, section), key)
        other = more if _is_own(config) else "name sources with other pictures"
        return f"if they are usable, change {_SETTINGS[name]} (now {value}); else {other}"
    if config.search.sources == ("folder",) and (own := _OF_OWN_FILES.get(name) or _OF_OWN_FILES.get(outcome)):
        return own
    if _is_own(config) and outcome in (("copy", "drop"), ("download", "skipped"), ("download", "withdrawn")):
        return f"{_BY_OUTCOME[outcome].partition(': ')[0]}: {more}" if outcome[0] == "copy" else more
    if name in _REMEDIES:
        return _REMEDIES[name]
    if reason is None:
        return more
    return _RETRY if reason.retryable else _BY_OUTCOME.get(outcome, more)


def _losses(counts: ClassCounts) -> Counter[str]:
    """Count the losses by reason, in the order in which they happen."""
    losses = Counter({name.partition(": ")[2]: count for name, count in counts.not_downloaded.items()})
    losses.update(
        {
            _WAITING: counts.waiting,
            _NOT_ASKED: counts.not_asked,
            _SAME_FILE: counts.same_file,
            _UNJUDGED: counts.unjudged,
        }
    )
    return +(losses + counts.dropped)


def _part(word: str, reasons: Mapping[str, int]) -> list[str]:
    listed = ", ".join(f"{name} {count:,}" for name, count in in_order(reasons).items())
    return [f"{sum(reasons.values()):,} {word} ({listed})"] if reasons else []


def _shared_keywords(label: str, config: WorkspaceConfig) -> str:
    """Name the keywords that a class has in common with others; empty: none."""
    own = {name_key(word): word for word in config.collected.get(label, ())}
    shared = [
        f"{label!r} and {other!r} share the keyword {own[name_key(word)]!r}"
        for other, words in config.collected.items()
        for word in _once(words)
        if other != label and name_key(word) in own
    ]
    return ", ".join(shared)


def _once(words: Iterable[str]) -> list[str]:
    return list({name_key(word): word for word in words}.values())
