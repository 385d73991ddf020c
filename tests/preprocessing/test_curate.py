import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from preprocessing import curate
from preprocessing.curation.clusters import clusters_of
from preprocessing.curation.label_issues import find_label_issues
from preprocessing.curation.outliers import centred, outlier_scores
from workspace.catalog.records import Cluster, Download, Hit, ImageFacts, Override, Verdict
from workspace.errors import WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.storage.arrays import ArrayStore

DIM = 48
OPENVERSE = Path(__file__).resolve().parents[2].parent / "shared" / "fixtures" / "openverse"


def cloud(rng: np.random.Generator, direction: int, count: int, spread: float = 0.35) -> np.ndarray:
    """Feature vectors around one direction, non-negative as a network's pooled features are."""
    centre = np.zeros(DIM)
    centre[direction * 4 : direction * 4 + 4] = 1
    return np.abs(centre + rng.normal(0, spread, (count, DIM))).astype(np.float32)


class Featured:
    """A workspace as the features step leaves it, without any picture."""

    def __init__(self, collected) -> None:
        self.workspace = collected.workspace
        self.collected = collected

    def fill(self, **classes: np.ndarray) -> dict[str, list[str]]:
        named, rows = {}, []
        with self.workspace.open_catalog() as catalog:
            for label, features in classes.items():
                self.collected.ranks[label] = 1
                named[label] = [hashlib.sha256(f"{label} {row}".encode()).hexdigest() for row in range(len(features))]
                for row, sha in enumerate(named[label]):
                    url = f"http://pictures.test/{label}/{row}"
                    catalog.add_new([Hit(label, label, "t", row, url)])
                    catalog.put([Download(url, "ok", sha256=sha)])
                    catalog.put([ImageFacts(sha, width=640, height=480)])
                    catalog.put([Verdict(sha, label, "copy", "keep")])
                rows.append(features)
        store = ArrayStore(self.workspace.cache / "features-test")
        store.add([sha for shas in named.values() for sha in shas], np.concatenate(rows))
        write_atomic(self.workspace.features_pointer, b"features-test\n")
        return named

    def run(self, **sections: dict[str, object]):
        # There are no files behind these features, so nothing to lay over each other.
        return curate.run(self.workspace, self.collected.config(clean={"near_copies": False}, **sections))

    def verdicts(self) -> dict[tuple[str, str], Verdict]:
        with self.workspace.open_catalog() as catalog:
            return {(one.sha256, one.label): one for one in catalog.all(Verdict) if one.stage == "curate"}


@pytest.fixture
def featured(collected) -> Featured:
    return Featured(collected)


@pytest.fixture
def planted(featured) -> tuple[Featured, dict[str, list[str]]]:
    """Two classes of 40; the last 4 of `a` belong to no class, the last 2 of `b` look like `a`."""
    rng = np.random.default_rng(5)
    strangers = np.concatenate([cloud(rng, direction, 1) for direction in (6, 7, 8, 9)])
    return featured, featured.fill(
        a=np.concatenate([cloud(rng, 0, 36), strangers]),
        b=np.concatenate([cloud(rng, 2, 38), cloud(rng, 0, 2)]),
    )


def test_strangers_and_swapped_labels_are_flagged_and_nothing_is_dropped(planted) -> None:
    featured, named = planted
    counts = featured.run()
    verdicts = featured.verdicts()
    assert len(verdicts) == counts.done == 80
    assert {one.verdict for one in verdicts.values()} == {"keep", "flag"}
    for sha in named["a"][-4:]:
        assert (verdicts[sha, "a"].verdict, verdicts[sha, "a"].reason) == ("flag", "off_topic")
    for sha in named["b"][-2:]:
        assert verdicts[sha, "b"].verdict == "flag"
    worst = sorted(named["a"], key=lambda sha: verdicts[sha, "a"].score)[:4]
    assert set(worst) == set(named["a"][-4:])
    assert "collect-and-train review" in counts.notes[0]
    assert counts.by_reason["judged"] == 80
    with featured.workspace.open_catalog() as catalog:
        assert len(catalog.kept()) == 80


def test_a_second_run_judges_nothing_and_changes_nothing(planted) -> None:
    featured, _ = planted
    first = featured.run()
    before = featured.verdicts()
    second = featured.run()
    assert (second.done, second.reused, second.by_reason) == (0, first.done, first.by_reason)
    featured.workspace.curation_file.unlink()  # as when the cache was deleted
    assert featured.run().done == 80
    assert featured.verdicts() == before


def test_apply_makes_them_drops_and_can_be_taken_back(planted) -> None:
    featured, named = planted
    flagged = {pair for pair, one in (featured.run(), featured.verdicts())[1].items() if one.verdict == "flag"}
    featured.run(curate={"apply": True})
    assert {pair for pair, one in featured.verdicts().items() if one.verdict == "drop"} == flagged
    with featured.workspace.open_catalog() as catalog:
        assert set(catalog.kept()).isdisjoint(flagged)
    featured.run()  # what it dropped before is judged again
    assert {pair for pair, one in featured.verdicts().items() if one.verdict == "flag"} == flagged


def test_at_most_a_share_of_a_class_is_proposed(planted) -> None:
    featured, _ = planted
    featured.run(curate={"off_topic_below": 1.0, "off_topic_share": 0.1, "label_issue_share": 0.0})
    flagged = Counter(one.label for one in featured.verdicts().values() if one.verdict == "flag")
    assert flagged == {"a": 4, "b": 4}


def test_what_a_person_decided_is_not_proposed_again(planted) -> None:
    featured, named = planted
    kept, dropped, moved = named["a"][-3:]
    with featured.workspace.open_catalog() as catalog:
        catalog.put([Override(kept, "a", "keep"), Override(dropped, "a", "drop"), Override(moved, "a", "relabel", "b")])
    featured.run()
    verdicts = featured.verdicts()
    assert verdicts[kept, "a"].verdict == "keep"
    assert (dropped, "a") not in verdicts  # it takes no part, and vouches for nothing
    assert verdicts[moved, "b"].verdict == "keep"
    assert verdicts[moved, "b"].score < 0.5


def test_without_features_the_error_names_the_command(collected) -> None:
    with pytest.raises(WorkspaceError, match="collect-and-train features"):
        curate.run(collected.workspace, collected.config(clean={"near_copies": False}))


def test_a_picture_without_features_is_told_and_not_judged(planted) -> None:
    featured, _ = planted
    with featured.workspace.open_catalog() as catalog:
        catalog.put([Verdict("ff" * 32, "a", "copy", "keep")])
    counts = featured.run()
    assert counts.done == 80
    assert "1 picture without features yet" in counts.notes[1]


def test_an_empty_class_or_a_single_one_is_no_error(featured) -> None:
    named = featured.fill(a=cloud(np.random.default_rng(0), 0, 12))
    assert featured.run().by_reason == {"judged": 12, "off_topic": 0, "label_issue": 0, "edited_copy": 0}
    assert {one.score for one in featured.verdicts().values()} == {1.0}
    assert len(named["a"]) == 12


def test_a_wrong_word_sense_is_a_cluster_of_its_own(featured) -> None:
    rng = np.random.default_rng(3)
    named = featured.fill(jaguar=np.concatenate([cloud(rng, 0, 20), cloud(rng, 5, 12)]), lion=cloud(rng, 2, 30))
    featured.run()
    with featured.workspace.open_catalog() as catalog:
        of = {(one.sha256, one.label): one.cluster for one in catalog.all(Cluster)}
    assert {of[sha, "jaguar"] for sha in named["jaguar"][:20]} == {1}
    assert {of[sha, "jaguar"] for sha in named["jaguar"][20:]} == {2}
    assert {of[sha, "lion"] for sha in named["lion"]} == {1}


def test_a_series_by_one_creator_does_not_vouch_for_itself() -> None:
    rng = np.random.default_rng(1)
    features = np.concatenate([cloud(rng, 0, 20), cloud(rng, 7, 8, 0.05), cloud(rng, 2, 20)])
    labels = np.repeat([0, 0, 1], [20, 8, 20])
    apart = np.arange(48)
    series = np.where((apart >= 20) & (apart < 28), 20, apart)
    vectors = centred(features, labels)
    assert outlier_scores(vectors, labels, series)[20:28].max() < 0.25
    assert outlier_scores(vectors, labels, series)[20:28].max() < outlier_scores(vectors, labels, apart)[20:28].min()


def test_up_to_half_of_a_class_may_be_wrong_in_the_same_way() -> None:
    rng = np.random.default_rng(2)
    features = np.concatenate([cloud(rng, 0, 24), cloud(rng, 7, 10), cloud(rng, 2, 30)])
    labels = np.repeat([0, 0, 1], [24, 10, 30])
    scores = outlier_scores(centred(features, labels), labels, np.arange(64))
    assert scores[24:34].max() < scores[:24].min()


def test_swapped_labels_are_suspect_and_the_right_class_is_suggested() -> None:
    rng = np.random.default_rng(4)
    features = np.concatenate([cloud(rng, direction, 30) for direction in (0, 2, 4)])
    labels = np.repeat([0, 1, 2], 30)
    wrong = np.array([1, 33, 65])
    labels[wrong] = (labels[wrong] + 1) % 3
    issues = find_label_issues(centred(features, labels), labels, np.arange(90), 0)
    assert set(np.flatnonzero(issues.suspect)) == set(wrong)
    assert issues.suggested[wrong].tolist() == [0, 1, 2]


def test_a_class_by_one_creator_cannot_be_judged_and_is_not_blamed() -> None:
    rng = np.random.default_rng(4)
    features = np.concatenate([cloud(rng, direction, 20) for direction in (0, 2, 4)])
    labels = np.repeat([0, 1, 2], 20)
    groups = np.where(labels == 2, 99, np.arange(60))
    issues = find_label_issues(centred(features, labels), labels, groups, 0)
    assert not issues.suspect[40:].any()
    assert (issues.confidence[40:] == 1).all()


def test_images_that_cannot_be_judged_set_no_limit_for_the_others() -> None:
    """Both groups of class 1 are held out together, so nothing is known of it: no image looks more like it."""
    rng = np.random.default_rng(360)
    n_groups = int(rng.integers(4, 9))
    labels = rng.permutation(np.repeat([0, 1, 2], [14, 5, 14]))
    vectors = np.eye(3)[labels] + rng.normal(0, 0.4, (len(labels), 3))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    groups = rng.integers(0, n_groups, len(labels))
    groups[labels == 1] = rng.integers(0, 2, 5)
    issues = find_label_issues(vectors, labels, groups, 360)
    assert (issues.confidence[labels == 1] == 1).all()
    assert not issues.suspect.any()


@settings(max_examples=40)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 24), st.just(5)), elements=st.floats(0, 9, width=32)),
    st.integers(0, 10_000),
)
def test_typicality_is_1_at_most_and_depends_on_no_order(features, seed) -> None:
    rng = np.random.default_rng(seed)
    labels, groups = rng.integers(0, 3, len(features)), rng.integers(0, 9, len(features))
    scores = outlier_scores(centred(features, labels), labels, groups)
    assert (scores <= 1).all()
    order = rng.permutation(len(features))
    again = outlier_scores(centred(features[order], labels[order]), labels[order], groups[order])
    np.testing.assert_allclose(np.maximum(again, 0), np.maximum(scores[order], 0), atol=2e-3)


def test_of_pictures_less_like_their_class_than_others_are_the_least_like_is_the_worst() -> None:
    """Two classes that hardly differ: half of the scores were 0, and the order of their digests decided."""
    rng = np.random.default_rng(2)
    labels = np.arange(60) % 2
    features = np.eye(8)[[0] * 60] + 0.3 * np.eye(8)[1 + labels] + rng.normal(0, 0.3, (60, 8))
    features[0] = np.eye(8)[5]
    scores = outlier_scores(centred(features.astype(np.float32), labels), labels, np.arange(60))[labels == 0]
    assert (scores <= 0).sum() > 3 and scores.argmin() == 0


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 99))
def test_clusters_are_numbered_from_1_by_size(count, most, seed) -> None:
    vectors = centred(np.abs(np.random.default_rng(seed).normal(size=(count, 6))), np.zeros(count, np.int64))
    found = clusters_of(vectors, most, seed)
    sizes = np.bincount(found)[1:]
    assert sizes.sum() == count
    assert len(sizes) <= most
    assert (np.diff(sizes) <= 0).all()
    assert (clusters_of(vectors, most, seed) == found).all()


def test_equal_pictures_are_one_cluster() -> None:
    assert set(clusters_of(np.ones((20, 4), np.float32), 5, 0)) == {1}


# By eye: cupcakes, a tree, three portraits by one photographer, a beer, a record sleeve, people in a garden.
OFF_TOPIC_HONEY = frozenset(
    {"1936cdd5", "700428ba", "81d8b3f3", "cca6f5ba", "e3ef26ce", "92714026", "96d3d913", "f05bd36c"}
)


@pytest.mark.skipif(not OPENVERSE.is_dir(), reason=f"{OPENVERSE} is not here")
def test_of_the_first_8_of_openverse_s_honey_at_least_5_are_off_topic(collected) -> None:
    from flows.step_table import step_function
    from gallery.site import Gallery
    from workspace.progress import SILENT
    from workspace.resolve import open_workspace

    with Gallery.recorded(OPENVERSE) as site:
        workspace, config = open_workspace(
            collected.workspace.root,
            ["dog", "galah", "honey"],
            {
                "train.backbone": "efficientnet_lite0",
                "search.openverse.url": site.openverse_url,
                "search.per_class": 20,
                "network.allow_private_addresses": True,
                "network.per_host_pause_s": 0,
            },
        )
        for name in ("search", "download", "clean", "features", "curate"):
            step_function(name)(workspace, config, SILENT)
    with workspace.open_catalog() as catalog:
        honey = [one for one in catalog.all(Verdict) if one.stage == "curate" and one.label == "honey"]
    first = [one.sha256[:8] for one in sorted(honey, key=lambda one: (one.score, one.sha256))[:8]]
    assert len(OFF_TOPIC_HONEY.intersection(first)) >= 5
