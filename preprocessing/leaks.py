"""Copies between a workspace's pictures and an outside test set: what would make that test too easy."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from preprocessing.alignment import Agreement, Keypoints, compare, is_kin, is_same, keypoints
from preprocessing.decode import Pixels
from preprocessing.hashing import fingerprint
from preprocessing.looks import look_of, thumbs_among
from preprocessing.matches import EDITED, find_matches
from preprocessing.measures import measure
from preprocessing.near_copies import Features, nearest
from preprocessing.pixels import PixelCache, decode_small
from preprocessing.turns import AS_IS, MIRRORED
from workspace.arrays import latest_features
from workspace.catalog import Catalog
from workspace.clean_config import CleanConfig
from workspace.config import WorkspaceConfig
from workspace.errors import ImageRefused, WorkspaceError
from workspace.paths import Workspace
from workspace.progress import SILENT, Progress
from workspace.records import ImageFacts

SAME_BYTES, SAME_PICTURE, MIRROR_IMAGE, TURNED_PICTURE = "same_bytes", "same", "mirrored", "turned"
EDITED_PICTURE, KIN = "edited", "kin"
"""How a picture of the workspace is one of the outside set; `kin`: parts of one picture, or nearly the same."""

_ORDER = (SAME_BYTES, SAME_PICTURE, MIRROR_IMAGE, TURNED_PICTURE, EDITED_PICTURE, KIN)
_KINDS = {AS_IS: SAME_PICTURE, MIRRORED: MIRROR_IMAGE, EDITED: EDITED_PICTURE}
_OUTSIDE = "outside:"


class Leak(NamedTuple):
    """One pair: a picture of the workspace under a label, and a file of the outside set that shows the same."""

    kind: str
    label: str
    sha256: str
    outside: str


@dataclasses.dataclass(frozen=True, slots=True)
class Outside:
    """An outside set, decoded: `pixels` [h, w, 3] by the file's path, and why the other files are no pictures."""

    pixels: Mapping[str, Pixels]
    facts: Mapping[str, ImageFacts]
    refused: Mapping[str, str]


def read_outside(folder: Path, clean: CleanConfig, progress: Progress = SILENT) -> Outside:
    """Decode every file below a folder, hidden ones left out.

    Raises:
        WorkspaceError: it is no folder, or holds no picture.
    """
    if not folder.is_dir():
        raise WorkspaceError(f"{folder} is no folder; name the folder of the test set's pictures: --against DIR")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    pixels: dict[str, Pixels] = {}
    facts: dict[str, ImageFacts] = {}
    refused: dict[str, str] = {}
    progress.begin("Reading the outside set", len(files))
    for path in files:
        name = path.relative_to(folder).as_posix()
        data = path.read_bytes()
        try:
            decoded, small = decode_small(data, clean)
        except ImageRefused as error:
            refused[name] = error.reason
        else:
            pixels[name] = small
            facts[name] = ImageFacts(
                _OUTSIDE + name,
                width=decoded.width,
                height=decoded.height,
                bytes=len(data),
                detail=hashlib.sha256(data).hexdigest(),
                pixel_digest=_OUTSIDE + name,
                **dataclasses.asdict(fingerprint(small)),
                **dataclasses.asdict(measure(small)),
            )
        progress.advance(1)
    if not pixels:
        raise WorkspaceError(
            f"{folder} holds no picture ({len(files)} files); name the folder of the test set's pictures"
        )
    return Outside(pixels, facts, refused)


def find_leaks(
    workspace: Workspace,
    config: WorkspaceConfig,
    outside: Outside,
    features: Mapping[str, Features] | None = None,
    progress: Progress = SILENT,
) -> list[Leak]:
    """Find which of the pictures that stay are in the outside set too.

    Args:
        workspace: cleaned; its pictures that stay are looked at.
        config: the copy settings under `clean`.
        outside: the other set.
        features: of the outside pictures, float32 [dimension] each, by the same backbone as the workspace's: then
            edited copies are also looked for among neighbours. None: by hashes alone.
        progress: told how many pairs are compared.

    Returns:
        By kind, label, sha256 and file, each pair once.

    Raises:
        WorkspaceError: the catalogue or a picture cannot be read.
    """
    with Catalog(workspace.catalog_file) as catalog:
        labels: dict[str, list[str]] = {}
        for sha, label in catalog.kept():
            labels.setdefault(sha, []).append(label)
        mine = [one for one in catalog.all(ImageFacts) if one.sha256 in labels and not one.error]
    cache = PixelCache(workspace, config.clean)
    laid = _Laid(cache, outside, progress)
    kinds: dict[tuple[str, str], str] = {}
    for sha, name, kind in (
        *_by_bytes(mine, outside),
        *_by_hashes(mine, outside, config.clean, laid),
        *_by_features(workspace, mine, outside, config.clean, features or {}, laid),
    ):
        before = kinds.setdefault((sha, name), kind)
        kinds[sha, name] = min(before, kind, key=_ORDER.index)
    leaks = [Leak(kind, label, sha, name) for (sha, name), kind in kinds.items() for label in labels[sha]]
    return sorted(leaks, key=lambda one: (_ORDER.index(one.kind), *one[1:]))


def leaks_csv(leaks: Sequence[Leak]) -> str:
    """A header and a line per pair."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(Leak._fields)
    writer.writerows(leaks)
    return text.getvalue()


class _Laid:
    """Lays pictures of both sets over each other; nothing of it is kept on disk, since the outside set is not ours."""

    def __init__(self, cache: PixelCache, outside: Outside, progress: Progress) -> None:
        self._cache, self._outside, self._progress = cache, outside, progress
        self._points: dict[str, Keypoints] = {}
        self._done: dict[tuple[str, str], Agreement] = {}

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Agreement]:
        self._progress.begin("Laying pictures over each other", len(pairs))
        return [self._agreement(*sorted(pair)) for pair in pairs]

    def _agreement(self, one: str, other: str) -> Agreement:
        self._progress.advance(1)
        if (one, other) not in self._done:
            left, right = self._pixels(one), self._pixels(other)
            self._done[one, other] = compare(left, right, self._found(one, left), self._found(other, right))
        return self._done[one, other]

    def _found(self, key: str, pixels: Pixels) -> Keypoints:
        if key not in self._points:
            self._points[key] = keypoints(pixels)
        return self._points[key]

    def _pixels(self, key: str) -> Pixels:
        if key.startswith(_OUTSIDE):
            return self._outside.pixels[key.removeprefix(_OUTSIDE)]
        return self._cache.read(key)


def _by_bytes(mine: Sequence[ImageFacts], outside: Outside) -> Iterator[tuple[str, str, str]]:
    shas = {one.sha256 for one in mine}
    for name, facts in outside.facts.items():
        if facts.detail in shas:
            yield facts.detail, name, SAME_BYTES


def _by_hashes(
    mine: Sequence[ImageFacts], outside: Outside, clean: CleanConfig, laid: _Laid
) -> Iterator[tuple[str, str, str]]:
    def lay(pairs: Sequence[tuple[str, str]]) -> list[Agreement]:
        """Only across the sets; within one of them nobody asks."""
        across = [pair for pair in pairs if pair[0].startswith(_OUTSIDE) != pair[1].startswith(_OUTSIDE)]
        agreements = dict(zip(across, laid(across), strict=True))
        return [agreements.get(pair, Agreement(0.0, 0.0, 0.0, 0.0)) for pair in pairs]

    every = [*mine, *outside.facts.values()]
    matches = find_matches([look_of(one) for one in every], thumbs_among(every), clean, lay)
    for i, j, view, same in zip(*(part.tolist() for part in matches), strict=True):
        if i < len(mine) <= j:
            kind = _KINDS.get(view, TURNED_PICTURE) if same else KIN
            yield every[i].sha256, every[j].sha256.removeprefix(_OUTSIDE), kind


def _by_features(
    workspace: Workspace,
    mine: Sequence[ImageFacts],
    outside: Outside,
    clean: CleanConfig,
    features: Mapping[str, Features],
    laid: _Laid,
) -> Iterator[tuple[str, str, str]]:
    if not features:
        return
    store = latest_features(workspace)
    shas = [one.sha256 for one in mine if one.sha256 in store]
    names = sorted(name for name in features if name in outside.facts)
    if not shas or not names:
        return
    theirs = np.stack([features[name] for name in names])
    near = nearest(theirs, store.get(shas), clean.near_neighbours, clean.near_cosine)
    pairs = [(shas[j], names[i]) for i, j in near]
    for (sha, name), how in zip(pairs, laid([(sha, _OUTSIDE + name) for sha, name in pairs]), strict=True):
        if is_kin(how):
            yield sha, name, EDITED_PICTURE if is_same(how) else KIN
