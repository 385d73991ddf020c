"""The registry of reasons: why a search, a URL or an image failed, was skipped or was dropped.

Steps write the names into the catalogue. Whoever shows, sorts or retries by reason asks here, so that a new reason is
one entry; tests/workspace/test_reasons.py finds each reason in the code and fails for one that has no entry.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

GIVEN_UP = "host_given_up"
FILE_LOST = "file_lost"
OPTED_OUT, RESERVED = "opted_out", "reserved"
LICENSE_UNKNOWN, LICENSE_NOT_WANTED = "license_unknown", "license_not_wanted"
WITHDRAWN_FILE = "file"
SAME_BYTES = "same_bytes"
EDITED_COPY = "edited_copy"
COPY_OF_CLASS = "copy_of_class"
OFF_TOPIC, LABEL_ISSUE = "off_topic", "label_issue"
SAME_IMAGE, MIRRORED_IMAGE, ROTATED_IMAGE, EDITED_IMAGE, KIN = "same", "mirrored", "turned", "edited", "kin"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason.

    Attributes:
        name: as the catalogue holds it; `http_5xx` stands for each of http_500 to http_599.
        stage: the first stage that gives it: search, download, decode, check, copy, curate or leak. Search fails for
            what download fails for, too.
        outcome: what becomes of the search (failed, exhausted), the url (failed, refused, skipped, withdrawn) or the
            image (drop, flag). An image is `judged` where a setting says whether it is dropped or flagged: CHECKS of
            preprocessing/quality/checks.py, `curate.apply`. A `leak` changes nothing.
        words: the reason, for people.
        retryable: it may work another day with nothing changed on our side.
        source_state: what `sources --check` shows of a source that fails for it: down, blocked or changed.
    """

    name: str
    stage: str
    outcome: str
    words: str
    retryable: bool = False
    source_state: str = "down"

    def matches(self, name: str) -> bool:
        """Return whether a name is this reason, or belongs to its family."""
        stem = self.name.rstrip("x")
        digits = len(self.name) - len(stem)
        if digits < 2:
            return name == self.name
        return re.fullmatch(rf"{re.escape(stem)}\d{{{digits}}}", name, re.ASCII) is not None


def _registry(
    stage: str, outcome: str, words: Mapping[str, str], *, retryable: bool = False, state: str = "down"
) -> tuple[Reason, ...]:
    return tuple(Reason(name, stage, outcome, text, retryable, state) for name, text in words.items())


_ENTRIES = (
    *_registry("search", "exhausted", {"depth_limit": "the source shows no more results for a query"}),
    *_registry(
        "search",
        "failed",
        {
            "captcha": "the source asks for proof of a human reader",
            "blocked": "the source refuses our requests",
            "rate_limited": "too many requests for the server; it asks us to wait",
        },
        retryable=True,
        state="blocked",
    ),
    *_registry("search", "failed", {"needs_key": "the source requires a valid API key"}, state="blocked"),
    *_registry(
        "search",
        "failed",
        {
            "not_json": "the source did not answer in JSON",
            "changed": "the source answers in another format than it used to",
        },
        retryable=True,
        state="changed",
    ),
    *_registry("search", "failed", {"unreachable": "the source cannot be reached"}, retryable=True),
    *_registry(
        "download",
        "failed",
        {
            "timeout": "the server did not answer in time",
            "too_slow": "the file did not arrive in time, though bytes kept coming",
            "connection": "no connection to the server",
            "incomplete": "the connection closed before the end of the file",
            "unknown_host": "the host name does not resolve",
            "http_408": "the server waited too long for the request",
            "http_425": "the server will not answer yet",
            "http_5xx": "the server has an error of its own",
            "robots_unreachable": "robots.txt could not be read, so nothing may be fetched for now",
            GIVEN_UP: "not tried, because its host kept failing",
            "missing": "the local file is gone",
            "unreadable": "the local file cannot be read",
            FILE_LOST: "the stored file was lost or cut off, as by a power cut",
        },
        retryable=True,
    ),
    *_registry(
        "download",
        "failed",
        {
            "tls": "the server's certificate or encryption is not valid",
            "bad_http": "the server does not speak HTTP as it should",
            "bad_encoding": "the body is not compressed as its header says",
            "too_many_redirects": "redirected too often",
            "http_xxx": "the server answered with another status than 200",
            "not_recorded": "not in the recording that is replayed",
            "stopped": "the run was stopped before it was asked",
        },
    ),
    *_registry(
        "download",
        "refused",
        {
            "robots": "robots.txt disallows it",
            OPTED_OUT: "its owner opts out of machine learning (robots tag)",
            RESERVED: "its owner reserves it from training (Content-Signal, Content-Usage or TDMRep)",
        },
        state="blocked",
    ),
    *_registry(
        "download",
        "refused",
        {
            "private_address": "the host is not on the public internet",
            "bad_url": "not a URL that can be fetched",
            "outside_folder": "not a file of the folder search.folder",
            "too_large": "larger than download.max_mb",
            "html": "an HTML page, not a picture",
            "svg": "an SVG drawing, which is not opened",
            "empty": "the file has no bytes, or begins with blank ones alone",
            "unknown_content": "no picture, by its first bytes",
        },
    ),
    *_registry(
        "download",
        "skipped",
        {
            LICENSE_UNKNOWN: "no licence is stated",
            LICENSE_NOT_WANTED: "a licence that the settings leave out",
            "same_picture": "another size of a picture that the class has",
        },
    ),
    *_registry(
        "download",
        "withdrawn",
        {
            "creator": "withdrawn by its creator's name",
            "url": "withdrawn by its URL",
            "license": "withdrawn by its licence",
            WITHDRAWN_FILE: "withdrawn by its file",
            SAME_BYTES: "the same bytes as another URL",
        },
    ),
    *_registry(
        "decode",
        "drop",
        {
            "not_an_image": "the file is something else than a picture",
            "format_not_allowed": "a picture format that is not opened",
            "too_many_pixels": "larger than the limit",
            "too_many_scans": "a progressive JPEG of more passes than any encoder makes",
            "truncated": "the file was cut off",
            "damaged": "the file is damaged inside",
            "decoder_crashed": "the file crashed the decoder",
            "decoder_timeout": "the file took too long to decode",
            "decoder_memory": "the file took too much memory to decode",
            "file_missing": "the stored file is gone",
        },
    ),
    *_registry(
        "check",
        "judged",
        {
            "too_small": "too small",
            "extreme_aspect": "too narrow, such as a banner",
            "blank": "one colour, or nearly so",
            "training_refused": "its metadata refuses training (IPTC Data Mining or C2PA)",
            "placeholder": "a placeholder for a missing picture",
            "mostly_text": "a page of text",
            "animated": "an animation, of which the first frame counts",
            "too_dark": "very dark",
            "too_bright": "very bright",
            "low_detail": "hardly any detail",
            "blurred": "blurred",
        },
    ),
    *_registry(
        "copy",
        "drop",
        {
            "same_pixels": "the same picture in another file",
            "near_copy": "the same picture, resized or recompressed",
            "mirrored_copy": "the same picture, mirrored",
            "turned_copy": "the same picture, rotated by 90, 180 or 270 degrees",
            EDITED_COPY: "the same picture, cropped, framed, watermarked or slightly rotated",
            "two_labels": "found under two classes",
        },
    ),
    *_registry(
        "copy", "flag", {COPY_OF_CLASS: "a negative that is a picture of a class too; left out until a person keeps it"}
    ),
    *_registry(
        "curate",
        "judged",
        {
            OFF_TOPIC: "unlike the other pictures of its class",
            LABEL_ISSUE: "looks more like another class",
        },
    ),
    *_registry(
        "leak",
        "leak",
        {
            SAME_IMAGE: "the outside set has the same picture",
            MIRRORED_IMAGE: "the outside set has it mirrored",
            ROTATED_IMAGE: "the outside set has it rotated by 90, 180 or 270 degrees",
            EDITED_IMAGE: "the outside set has it cropped, framed, watermarked or slightly rotated",
            KIN: "the outside set has another part of it, or nearly the same picture",
        },
    ),
)

REASONS: dict[str, Reason] = {reason.name: reason for reason in _ENTRIES}
"""Every reason by its name, in the order in which stages give them and counts are shown."""


def find_reason(name: str) -> Reason | None:
    """Look up a reason by its name as the catalogue holds it, or as counts show it (`failed: timeout`).

    Returns:
        None for one that this version does not know.
    """
    name = name.rpartition(": ")[2]
    return REASONS.get(name) or next((reason for reason in REASONS.values() if reason.matches(name)), None)


def words_for(name: str) -> str:
    """Return a reason in words; empty for one that this version does not know."""
    reason = find_reason(name)
    return reason.words if reason else ""


def is_retryable(name: str) -> bool:
    """Return whether a failure with this reason may succeed later with nothing changed on our side."""
    reason = find_reason(name)
    return reason is not None and reason.retryable


def order_of(name: str) -> tuple[int, str]:
    """Return the sort key of a name: the order of the registry; unknown names come last, by name."""
    reason = find_reason(name)
    return list(REASONS).index(reason.name) if reason else len(REASONS), name


def in_order(counts: Mapping[str, int] | Iterable[tuple[str, int]]) -> dict[str, int]:
    """Sort counts by reason as the registry does; an unknown reason is kept, at the end."""
    return dict(sorted(dict(counts).items(), key=lambda item: order_of(item[0])))


def reasons_table() -> str:
    """Write the registry as the Markdown table of data/README.md."""
    rows = ["| reason | stage | outcome | in words |", "|---|---|---|---|"]
    for reason in REASONS.values():
        outcome = f"{reason.outcome}, may heal" if reason.retryable else reason.outcome
        rows.append(f"| `{reason.name}` | {reason.stage} | {outcome} | {reason.words} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(reasons_table() + "\n")
