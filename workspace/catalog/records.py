"""Records: the rows of the catalogue and the samples of a dataset, as frozen dataclasses.

One frozen dataclass per table of the catalogue, with the columns' names, so that a row and a record are the
same thing. Times are UTC ISO 8601 texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Search:
    """State of one search: a keyword of a class at one source.

    `status` is `open` (more pages may follow), `exhausted` or `failed`; `cursor` is what the source needs for its
    next page, None before the first; `reason` and `detail` say why it failed, and `detail` of another what it passed
    over. `scope` is a digest of what it was asked of, such as a folder's listing; empty: not recorded; `removed`:
    its keyword was removed, and the searches beside it know.
    """

    label: str
    keyword: str
    source: str
    status: str
    cursor: str | None = None
    found: int = 0
    reason: str = ""
    detail: str = ""
    asked_at: str = ""
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result. `rank` counts from 0 within (label, keyword, source); `width`, `height` in px or None."""

    label: str
    keyword: str
    source: str
    rank: int
    image_url: str
    page_url: str = ""
    title: str = ""
    creator: str = ""
    license: str = ""
    license_url: str = ""
    attribution: str = ""
    width: int | None = None
    height: int | None = None
    found_at: str = ""


@dataclass(frozen=True, slots=True)
class Download:
    """The outcome of fetching one URL: `status` ok, failed, refused, skipped or withdrawn, a `reason` when not ok.

    What is skipped was never asked for; what is withdrawn keeps its sha256, and its file is gone. `preferences` is what
    the owner says of machine learning with it, and where, when that is not refused.
    """

    image_url: str
    status: str
    reason: str = ""
    detail: str = ""
    http_status: int | None = None
    bytes: int = 0
    sha256: str = ""
    final_url: str = ""
    attempts: int = 1
    fetched_at: str = ""
    preferences: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Statistics of an image's grey levels g (ITU-R 601 luma, 0 to 1) and colours: preprocessing/quality/statistics.py.

    A new one, or one that is computed otherwise, comes with a revision that empties the table: workspace/migrations.

    `brightness` is the mean of g; `contrast` its standard deviation, 0 to 0.5; `entropy` that of the histogram of
    256 levels, 0 to 8 bits; `sharpness` the variance of the Laplacian (4 neighbours) of g with the shorter side at
    64 px: about 0.001 in a blurred image, 0.02 in a sharp one. `highlights` is the 99th percentile of g and
    `shadows` the 5th. `background` is the share of the pixels that have the most frequent colour; `two_tone` the share
    that has this colour or the most frequent one of those that are far from it; `text` the share of blocks of
    16 x 16 px that look like writing on that background: strokes that cross rows more than once.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    entropy: float = 0.0
    sharpness: float = 0.0
    highlights: float = 0.0
    shadows: float = 0.0
    background: float = 0.0
    two_tone: float = 0.0
    text: float = 0.0


@dataclass(frozen=True, slots=True)
class ImageFacts(Measures):
    """Facts of one distinct file, or why it could not be decoded (`error`, else empty).

    `width`, `height` are those of the upright picture in px; `bytes` the file's size; hashes are 16 hex digits as
    imagehash prints them, `*_mirror` those of the picture mirrored left to right, and `thumb` is the grey
    32 x 32 picture that confirms a match (1024 bytes in hex). `usage_rights` is what its metadata says of data mining
    and training; `note` what was assumed to decode it, in words.
    """

    sha256: str
    error: str = ""
    detail: str = ""
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    frames: int = 1
    bytes: int = 0
    pixel_digest: str = ""
    phash: str = ""
    dhash: str = ""
    phash_mirror: str = ""
    dhash_mirror: str = ""
    thumb: str = ""
    usage_rights: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of an automatic check on an image under a label.

    `verdict` is keep, flag (kept, but a person should look) or drop; `stage` decode, check, copy, near_copy or curate;
    `score` lies in [0, 1], 0 the worst; `group` names the group of the same picture (the kept picture's sha256),
    empty when it has no copy.
    """

    sha256: str
    label: str
    stage: str
    verdict: str
    reason: str = ""
    score: float = 1.0
    group: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """The decision of a person on an image under a label: keep, drop or relabel (to `new_label`)."""

    sha256: str
    label: str
    action: str
    new_label: str = ""
    made_at: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster of an image within its class; clusters count from 1, the largest first."""

    sha256: str
    label: str
    cluster: int


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawal by `forget`: `kind` is creator, url, license or file (sha256), `value` names which."""

    kind: str
    value: str
    made_at: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of dataset.parquet: an image of a run, its label, its split, and its origin.

    `group` joins what must stay in one split; `file` is relative to the workspace; `flagged`: curate finds it off
    topic or mislabelled, and no person said otherwise. A flagged test picture stays, so that accuracy can be
    given with and without it.
    """

    sha256: str
    label: str
    split: str
    group: str
    file: str
    source: str
    keyword: str
    image_url: str
    page_url: str
    title: str
    creator: str
    license: str
    license_url: str
    attribution: str
    width: int
    height: int
    flagged: bool = False

    @property
    def group_key(self) -> str:
        """Name its group; an image without copies or a creator is a group of its own."""
        return self.group or self.sha256


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Result of a step: `done` items now, `reused` from an earlier run, and counts by outcome or reason.

    `by_reason` describes the state after the step, whether done now or before, so that two runs in a row
    return the same table; `notes` are sentences that a person must see.
    """

    step: str
    done: int = 0
    reused: int = 0
    by_reason: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """Format as one line for logs: `clean: 12 done, 230 already there; kept 210, truncated 3`."""
        reasons = ", ".join(f"{name} {count}" for name, count in self.by_reason.items())
        return f"{self.step}: {self.done} done, {self.reused} already there" + (f"; {reasons}" if reasons else "")
