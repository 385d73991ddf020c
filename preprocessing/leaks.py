"""Find images shared by a workspace and an outside test set: leaks that would inflate its accuracy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from preprocessing.duplicates.fingerprint import Fingerprint, fingerprint_of, thumbs_among
from preprocessing.duplicates.match import EDITED, find_matches
from preprocessing.duplicates.orientation import AS_IS, MIRRORED
from preprocessing.duplicates.registration import Agreement, Keypoints, is_near_duplicate, is_same, keypoints, register
from preprocessing.extract_facts import facts_and_pixels
from preprocessing.images.decode import Pixels
from preprocessing.images.isolated_decode import read_file, run_isolated
from preprocessing.images.pixel_cache import PixelCache
from preprocessing.neighbours import Floats, near_pairs, unit
from workspace.catalog.records import ImageFacts
from workspace.config.clean import CleanConfig
from workspace.config.model import WorkspaceConfig
from workspace.errors import ImageRefused, WorkspaceError
from workspace.image_files import list_files
from workspace.names import as_text
from workspace.progress import SILENT, Progress
from workspace.reasons import EDITED_IMAGE, KIN, MIRRORED_IMAGE, ROTATED_IMAGE, SAME_BYTES, SAME_IMAGE, order_of
from workspace.storage.arrays import latest_features
from workspace.storage.paths import Workspace
from workspace.text.counts import counted
from workspace.text.csv_rows import csv_text

_KINDS = {AS_IS: SAME_IMAGE, MIRRORED: MIRRORED_IMAGE, EDITED: EDITED_IMAGE}


class Leak(NamedTuple):
    """A pair: an image of the workspace under a label, and a file of the outside set that shows the same."""

    kind: str
    label: str
    sha256: str
    outside: str


@dataclass(frozen=True, slots=True)
class OutsideSet:
    """An outside set, decoded.

    Attributes:
        pixels: by the file's path, [h, w, 3].
        digests: by the file's path, its sha256.
        fingerprints: by that sha256, the fingerprint.
        thumbs: by that sha256, the thumb as ImageFacts holds it.
        refused: by the file's path, the reason why it is no image.
    """

    pixels: Mapping[str, Pixels]
    digests: Mapping[str, str]
    fingerprints: Mapping[str, Fingerprint]
    thumbs: Mapping[str, str]
    refused: Mapping[str, str]


def read_outside(folder: Path, clean: CleanConfig, progress: Progress = SILENT) -> OutsideSet:
    """Decode every file below a folder, except hidden files; names that are not UTF-8 are written with escapes.

    Raises:
        WorkspaceError: it is no folder, or holds no image.
    """
    if not folder.is_dir():
        raise WorkspaceError(f"{folder} is no folder; name the folder of the test set's pictures: --against DIR")
    try:
        listing = list_files(folder)
    except OSError as error:
        raise WorkspaceError(f"{as_text(str(folder))} cannot be read: {error.strerror}; make it readable") from error
    pixels: dict[str, Pixels] = {}
    digests: dict[str, str] = {}
    fingerprints: dict[str, Fingerprint] = {}
    thumbs: dict[str, str] = {}
    refused = {as_text(name): why for name, why in listing.passed_over.items()}
    progress.begin("Reading the outside set", len(listing.files))
    with ThreadPoolExecutor(clean.workers or os.cpu_count() or 1) as pool:
        paths = [file.path for file in listing.files]
        for file, outcome in zip(listing.files, pool.map(partial(_examine, clean=clean), paths), strict=True):
            name = as_text(file.name)
            if isinstance(outcome, str):
                refused[name] = outcome
            else:
                facts, pixels[name] = outcome
                digests[name] = facts.sha256
                fingerprints[facts.sha256], thumbs[facts.sha256] = fingerprint_of(facts), facts.thumb
            progress.advance(1)
    if not pixels:
        raise WorkspaceError(
            f"{folder} holds no picture ({counted(len(listing.files), 'file')}); "
            "name the folder of the test set's pictures"
        )
    return OutsideSet(pixels, digests, fingerprints, thumbs, refused)


def _examine(path: Path, clean: CleanConfig) -> tuple[ImageFacts, Pixels] | str:
    """Read one file: its facts and pixels, or the reason why it is no image."""
    try:
        return run_isolated(facts_and_pixels, read_file(path, clean), clean)
    except ImageRefused as refused:
        return refused.reason
    except OSError:
        return "unreadable"


def find_leaks(
    workspace: Workspace,
    config: WorkspaceConfig,
    outside: OutsideSet,
    features: Mapping[str, Floats] | None = None,
    progress: Progress = SILENT,
) -> list[Leak]:
    """Find the kept images that the outside set holds too.

    Args:
        workspace: cleaned; its kept images are compared.
        config: the copy settings under `clean`.
        outside: the other set.
        features: of the outside images, float32 [dimension] each, by the same backbone as the workspace's: then
            edited copies are also looked for among neighbours. None: by hashes alone.
        progress: advances by each pair that is compared.

    Returns:
        By kind, label, sha256 and file, each pair once.

    Raises:
        WorkspaceError: the catalogue or an image cannot be read.
    """
    with workspace.open_catalog() as catalog:
        labels: dict[str, list[str]] = {}
        for sha, label in catalog.kept():
            labels.setdefault(sha, []).append(label)
        mine = {facts.sha256: facts for facts in catalog.each(ImageFacts) if facts.sha256 in labels and not facts.error}
    register_pairs = _PairRegistration(PixelCache(workspace, config.clean), outside, progress)
    names: dict[str, list[str]] = {}
    for name, digest in outside.digests.items():
        names.setdefault(digest, []).append(name)
    kinds: dict[tuple[str, str], str] = {}
    for sha, other, kind in (
        *((sha, sha, SAME_BYTES) for sha in mine.keys() & outside.fingerprints.keys()),
        *_by_hashes(mine, outside, config.clean, register_pairs),
        *_by_features(workspace, mine, outside, config.clean, features or {}, register_pairs),
    ):
        before = kinds.setdefault((sha, other), kind)
        kinds[sha, other] = min(before, kind, key=order_of)
    leaks = [
        Leak(kind, label, sha, name)
        for (sha, other), kind in kinds.items()
        for label in labels[sha]
        for name in names[other]
    ]
    return sorted(leaks, key=lambda leak: (order_of(leak.kind), *leak[1:]))


def leaks_csv(leaks: Sequence[Leak]) -> str:
    """Format leaks as CSV: a header and a line per pair."""
    return csv_text(Leak._fields, leaks)


class _PairRegistration:
    """Registers images of both sets; nothing is cached on disk, since the outside set is not ours."""

    def __init__(self, cache: PixelCache, outside: OutsideSet, progress: Progress) -> None:
        self._cache, self._progress = cache, progress
        self._outside = {digest: outside.pixels[name] for name, digest in outside.digests.items()}
        self._points: dict[str, Keypoints] = {}
        self._done: dict[tuple[str, str], Agreement] = {}

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Agreement]:
        self._progress.begin("Comparing possible copies", len(pairs))
        return [self._agreement(*sorted(pair)) for pair in pairs]

    def _agreement(self, one: str, other: str) -> Agreement:
        self._progress.advance(1)
        if (one, other) not in self._done:
            left, right = self._pixels(one), self._pixels(other)
            self._done[one, other] = register(left, right, self._found(one, left), self._found(other, right))
        return self._done[one, other]

    def _found(self, sha256: str, pixels: Pixels) -> Keypoints:
        if sha256 not in self._points:
            self._points[sha256] = keypoints(pixels)
        return self._points[sha256]

    def _pixels(self, sha256: str) -> Pixels:
        return self._outside[sha256] if sha256 in self._outside else self._cache.read(sha256)


def _by_hashes(
    mine: Mapping[str, ImageFacts], outside: OutsideSet, clean: CleanConfig, register_pairs: _PairRegistration
) -> Iterator[tuple[str, str, str]]:
    """Yield (sha256 of ours, sha256 of theirs, kind) by hashes; a file that both sets hold is compared once."""

    def across(one: str, other: str) -> list[tuple[str, str]]:
        """Return the pair as (ours, theirs): none within one set, two where both sets hold both files."""
        return [(a, b) for a, b in ((one, other), (other, one)) if a in mine and b in outside.fingerprints]

    def register_across(pairs: Sequence[tuple[str, str]]) -> list[Agreement]:
        """Register the pairs across the sets; pairs within one set get no agreement."""
        asked = [pair for pair in pairs if across(*pair)]
        agreements = dict(zip(asked, register_pairs(asked), strict=True))
        return [agreements.get(pair, Agreement(0.0, 0.0, 0.0, 0.0)) for pair in pairs]

    fingerprints = {sha: fingerprint_of(facts) for sha, facts in mine.items()} | dict(outside.fingerprints)
    thumbs = {sha: facts.thumb for sha, facts in mine.items()} | dict(outside.thumbs)
    every = list(fingerprints)
    matches = find_matches(list(fingerprints.values()), thumbs_among(thumbs), clean, register_across)
    for i, j, orientation, same in zip(*(part.tolist() for part in matches), strict=True):
        kind = _KINDS.get(orientation, ROTATED_IMAGE) if same else KIN
        yield from ((sha, other, kind) for sha, other in across(every[i], every[j]))


def _by_features(
    workspace: Workspace,
    mine: Mapping[str, ImageFacts],
    outside: OutsideSet,
    clean: CleanConfig,
    features: Mapping[str, Floats],
    register_pairs: _PairRegistration,
) -> Iterator[tuple[str, str, str]]:
    """Yield (sha256 of ours, sha256 of theirs, kind) by neighbours in feature space."""
    if not features:
        return
    store = latest_features(workspace)
    shas = [sha for sha in mine if sha in store]
    names = sorted(name for name in features if name in outside.digests)
    if not shas or not names:
        return
    theirs = np.stack([features[name] for name in names])
    near = near_pairs(unit(theirs), unit(store.get(shas)), clean.near_neighbours, clean.near_cosine)
    pairs = [(shas[j], outside.digests[names[i]]) for i, j in near.tolist()]
    for (sha, other), how in zip(pairs, register_pairs(pairs), strict=True):
        if is_near_duplicate(how):
            yield sha, other, EDITED_IMAGE if is_same(how) else KIN
