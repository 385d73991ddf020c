"""How well curate finds what does not belong: planted pictures among real ones, by kind of mistake.

    python -m benchmarks.curate --photos bears/ --photos aerial/ [--recorded openverse/] [--repeats 2]

At least two sets of photographs are needed: into one class of one set, pictures of another set are planted
(`strangers`: of any kind; `wrong sense`: all of one kind), or pictures of another class of the same set (`wrong
label`). Printed is the recall among the first k of the class, where k is how many were planted: by curate's score, and
by what it could have been (each alone: own-class neighbours, out-of-fold confidence, cleanlab's outlier score).
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.support.photo_sets import site_settings
from flows.step_table import step_function
from gallery.site import Gallery
from preprocessing.curation.label_issues import find_label_issues
from preprocessing.curation.outliers import centred, outlier_scores
from preprocessing.dataset.groups import groups_of
from workspace.catalog.counts import creators
from workspace.progress import SILENT
from workspace.resolve import open_workspace
from workspace.storage.arrays import latest_features

SIZES, SHARES = (20, 40), (0.1, 0.3)
KINDS = ("strangers", "wrong sense", "wrong label")

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Photos:
    """One set: features [n, dim], labels [n], groups [n]."""

    name: str
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.str_]
    groups: npt.NDArray[np.str_]


@dataclass(frozen=True)
class Planted:
    """A set with strangers in one class: `wrong` says which of the rows, `label` the class."""

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64]
    wrong: npt.NDArray[np.bool_]
    label: int


def collect(name: str, site: Gallery, folder: Path, backbone: str) -> Photos:
    """Collect a set over HTTP as a user would, up to its features."""
    settings = site_settings(site, backbone)
    workspace, config = open_workspace(folder, site.keywords, settings)
    for step in ("search", "download", "clean", "features"):
        step_function(step)(workspace, config, SILENT)
    with workspace.open_catalog() as catalog:
        pairs = catalog.kept()
        groups = groups_of(pairs, creators(catalog), [])
    features = latest_features(workspace).get([sha for sha, _ in pairs])
    return Photos(name, features, np.array([label for _, label in pairs]), np.array([groups[sha] for sha, _ in pairs]))


def plant(
    rng: np.random.Generator, host: Photos, foreign: Photos, kind: str, size: int, share: float
) -> Planted | None:
    """Take `size` pictures of each class, and fill a share of one from elsewhere; None: there are too few."""
    names = np.unique(host.labels)
    rows = np.concatenate([rng.permutation(np.flatnonzero(host.labels == name))[:size] for name in names])
    label = int(rng.integers(len(names)))
    labels = np.searchsorted(names, host.labels[rows])
    count = max(2, int(share * np.count_nonzero(labels == label)))
    if kind == "wrong label":
        other = rng.choice(np.delete(names, label))
        pool = np.setdiff1d(np.flatnonzero(host.labels == other), rows)
        source = host
    else:
        chosen = rng.choice(np.unique(foreign.labels))
        pool = np.flatnonzero(foreign.labels == chosen) if kind == "wrong sense" else np.arange(len(foreign.labels))
        source = foreign
    if len(pool) < count:
        return None
    gone = np.flatnonzero(labels == label)[:count]
    rows, labels = np.delete(rows, gone), np.delete(labels, gone)
    _, groups = np.unique(host.groups[rows], return_inverse=True)
    return Planted(
        np.concatenate([host.features[rows], source.features[rng.choice(pool, count, replace=False)]]),
        np.append(labels, np.full(count, label)),
        np.append(groups, len(groups) + np.arange(count)),
        np.append(np.zeros(len(rows), np.bool_), np.ones(count, np.bool_)),
        label,
    )


def scores(planted: Planted) -> dict[str, Array]:
    """Each way of scoring, 0 the worst, [n]."""
    from cleanlab.outlier import OutOfDistribution

    vectors = centred(planted.features, planted.labels)
    typical = outlier_scores(vectors, planted.labels, planted.groups)
    confidence = find_label_issues(vectors, planted.labels, planted.groups, 0).confidence
    return {
        "curate": np.minimum(typical, confidence),
        "neighbours": typical,
        "confidence": confidence,
        "cleanlab outliers": OutOfDistribution({"k": 10}).fit_score(features=planted.features, verbose=False),
    }


def trials(sets: list[Photos], repeats: int) -> Iterator[tuple[str, Planted]]:
    """Every host with every other set, each kind, size and share."""
    rng = np.random.default_rng(0)
    for _ in range(repeats):
        for host in sets:
            for foreign in sets:
                for kind in KINDS if foreign is not host else ():
                    for size in SIZES:
                        for share in SHARES:
                            made = plant(rng, host, foreign, kind, size, share)
                            if made is not None:
                                yield kind, made


def main() -> None:
    """Measure, and print one line per way of scoring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, action="append", default=[], help="folder with a folder per class")
    parser.add_argument("--recorded", type=Path, action="append", default=[], help="recorded Openverse answers")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    given = parser.parse_args()
    makers: list[tuple[Path, Callable[[Path], Gallery]]] = [
        *((path, Gallery.photos) for path in given.photos),
        *((path, Gallery.recorded) for path in given.recorded),
    ]
    if len(makers) < 2:
        parser.error("name at least two sets of photographs")
    sets = []
    for path, make in makers:
        with make(path) as site, tempfile.TemporaryDirectory() as folder:
            sets.append(collect(path.name, site, Path(folder), given.backbone))
    recalls: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    warnings.simplefilter("ignore")
    for kind, planted in trials(sets, given.repeats):
        mine = np.flatnonzero(planted.labels == planted.label)
        count = int(planted.wrong.sum())
        for name, score in scores(planted).items():
            first = mine[np.argsort(score[mine], kind="stable")[:count]]
            recalls[name][kind].append(float(planted.wrong[first].mean()))
    print("".join(f"{title:>18}" for title in ("recall at k", *KINDS, "all")))
    for name, by_kind in recalls.items():
        every = [value for values in by_kind.values() for value in values]
        print(f"{name:>18}" + "".join(f"{np.mean(by_kind[kind]):18.3f}" for kind in KINDS) + f"{np.mean(every):18.3f}")
    print(f"{sum(map(len, next(iter(recalls.values())).values()))} trials on {', '.join(one.name for one in sets)}")


if __name__ == "__main__":
    main()
