"""What the gallery plants, held against what collection and cleaning make of it, over real HTTP."""

from collections import defaultdict
from pathlib import Path

import pytest

from cli.demo import demo_config
from collectors import download, search
from gallery.site import Gallery, Planted
from preprocessing import clean
from workspace.catalog.records import Download, Verdict
from workspace.storage.paths import Workspace

NEAR = {"resized", "recompressed", "mirrored"}


class Outcome:
    """Everything planted, with what became of it."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder)
        with Gallery.rendered(per_class=20, seed=11) as site:
            config = demo_config(site)
            config = config.model_copy(update={"search": config.search.model_copy(update={"per_class": 500})})
            search.run(self.workspace, config)
            download.run(self.workspace, config)
            self.counts = clean.run(self.workspace, config)
            truth = site.truth()
            base = site.base_url
        self.planted: dict[str, list[Planted]] = defaultdict(list)
        for row in truth:
            self.planted[row.kind].append(row)
        with self.workspace.open_catalog() as catalog:
            self.downloads = {row.image_url.removeprefix(base): row for row in catalog.all(Download)}
            self.verdicts: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
            for verdict in catalog.all(Verdict):
                self.verdicts[verdict.sha256, verdict.label].append(verdict)
            self.kept = set(catalog.kept())

    def sha(self, path: str) -> str:
        return self.downloads[path].sha256

    def drops(self, row: Planted) -> set[str]:
        return {v.reason for v in self.verdicts[self.sha(row.url_path), row.keyword] if v.verdict == "drop"}

    def keepers(self, row: Planted) -> set[str]:
        """The kept pictures of this picture's group, under its keyword."""
        own = self.sha(row.url_path)
        groups = {v.group for v in self.verdicts[own, row.keyword]} - {""}
        return {
            sha
            for (sha, label), verdicts in self.verdicts.items()
            if label == row.keyword
            and (sha, label) in self.kept
            and (sha == own or any(v.group in groups for v in verdicts))
        }


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return Outcome(tmp_path_factory.mktemp("planted"))


def test_what_is_no_picture_ends_as_a_download_with_its_reason(outcome) -> None:
    for kind, reason in (("missing", "http_404"), ("html", "html")):
        assert outcome.planted[kind]
        assert {outcome.downloads[row.url_path].reason for row in outcome.planted[kind]} == {reason}


@pytest.mark.parametrize(("kind", "reason"), [("truncated", "truncated"), ("tiny", "too_small"), ("blank", "blank")])
def test_every_broken_or_useless_file_is_dropped_for_the_right_reason(outcome, kind, reason) -> None:
    assert outcome.planted[kind]
    assert [outcome.drops(row) for row in outcome.planted[kind]] == [{reason}] * len(outcome.planted[kind])


def test_every_exact_copy_is_one_file_and_counted(outcome) -> None:
    copies = outcome.planted["exact_copy"]
    assert copies
    assert all(outcome.sha(row.url_path) == outcome.sha(row.of) for row in copies)
    fetched = [row.sha256 for row in outcome.downloads.values() if row.status == "ok"]
    assert outcome.counts.by_reason["same_bytes"] == len(fetched) - len(set(fetched)) >= len(copies)


def test_at_least_95_percent_of_near_copies_leave_one_of_the_pair(outcome) -> None:
    pairs = [row for kind in sorted(NEAR) for row in outcome.planted[kind]]
    found = [len({outcome.sha(row.url_path), outcome.sha(row.of)} & outcome.keepers(row)) <= 1 for row in pairs]
    assert len(pairs) >= 10
    assert sum(found) >= 0.95 * len(pairs)


def test_at_most_1_percent_of_honest_pictures_are_lost(outcome) -> None:
    in_two = {row.of for row in outcome.planted["two_keywords"]}
    honest = [row for row in outcome.planted["honest"] if row.url_path not in in_two]
    label_of = {row.url_path: row.keyword for row in honest}
    own = {row.url_path: {outcome.sha(row.url_path)} for row in honest}
    for kind in sorted(NEAR):  # an honest picture may give way to its own copy, and to no other picture
        for row in outcome.planted[kind]:
            own.get(row.of, set()).add(outcome.sha(row.url_path))
    lost = [path for path, shas in own.items() if not any((sha, label_of[path]) in outcome.kept for sha in shas)]
    assert len(honest) >= 80
    assert len(lost) <= 0.01 * len(honest), lost


def test_a_picture_under_two_keywords_stays_under_one_at_most_and_is_counted(outcome) -> None:
    twice = outcome.planted["two_keywords"]
    original = {row.url_path: row for row in outcome.planted["honest"]}
    assert twice
    for row in twice:
        assert not (outcome.keepers(row) and outcome.keepers(original[row.of])), row
    assert outcome.counts.by_reason["two_labels"] >= len(twice)
