"""What became of everything that was found for a class, and what helps against the largest loss."""

import re
from collections import Counter

import pytest

from workspace.catalog.collection_stats import ClassCounts
from workspace.catalog.funnel import funnel_text, remedy_for, remedy_of
from workspace.config.model import WorkspaceConfig
from workspace.reasons import REASONS

CONFIG = WorkspaceConfig(classes={"cat": ("cat", "Tabby_Cat"), "lynx": ("lynx", "tabby cat"), "dog": ("dog",)})


def test_every_stage_at_which_pictures_are_lost_is_named_in_order_with_its_reasons() -> None:
    outcomes = {"failed: http_404": 3, "failed: timeout": 1, "refused: html": 2, "skipped: license_unknown": 4}
    counts = ClassCounts(
        found=25,
        waiting=1,
        downloaded=13,
        not_downloaded=Counter(outcomes | {"withdrawn: creator": 1}),
        same_file=5,
        dropped=Counter({"too_small": 2, "blank": 1, "dropped by a person": 1}),
        unjudged=1,
        kept=4,
        moved_here=1,
    )
    assert funnel_text(counts) == (
        "25 found, 4 failed (timeout 1, http_404 3), 2 refused (html 2), 4 left out (license_unknown 4), "
        "1 withdrawn (creator 1), 1 not fetched yet, 5 the same file as another, "
        "4 dropped (too_small 2, blank 1, dropped by a person 1), 1 not cleaned yet, 1 moved here by a person, 4 kept"
    )


@pytest.mark.parametrize(
    ("lost", "remedy"),
    [
        ({"not_downloaded": Counter({"failed: http_404": 8})}, "their URLs lead to no picture"),
        ({"not_downloaded": Counter({"failed: timeout": 5, "failed: http_404": 3})}, "`collect-and-train retry` later"),
        ({"not_downloaded": Counter({"refused: too_large": 8})}, "change download.max_mb (now 20)"),
        ({"not_downloaded": Counter({"skipped: license_unknown": 8})}, "relax search.licenses"),
        ({"same_file": 7, "dropped": Counter({"too_small": 1})}, "are one and the same file"),
        ({"dropped": Counter({"too_small": 8})}, "change clean.min_side_px (now 64)"),
        ({"dropped": Counter({"two_labels": 8})}, "'cat' and 'lynx' share the keyword 'Tabby_Cat'"),
        ({"dropped": Counter({"dropped by a person": 8})}, "`collect-and-train review`"),
        ({"waiting": 8}, "run `collect-and-train collect` again"),
        ({"kept": 8}, "more keywords under [classes]"),
        ({"kept": 6, "dropped": Counter({"too_small": 2})}, "more keywords under [classes]"),
        ({"found": 100, "kept": 100}, "raise search.per_class"),
        ({"found": 0}, "no source found anything for its keywords"),
    ],
)
def test_the_remedy_is_for_the_largest_loss(lost: dict[str, object], remedy: str) -> None:
    assert remedy in remedy_for(ClassCounts(**({"found": 8} | lost)), "cat", CONFIG)  # type: ignore[arg-type]


def test_classes_without_a_common_keyword_are_told_to_use_others() -> None:
    counts = ClassCounts(found=8, dropped=Counter({"two_labels": 8}))
    assert "keywords that tell it apart" in remedy_for(counts, "dog", CONFIG)


@pytest.mark.parametrize("reason", [name for name, item in REASONS.items() if item.stage not in ("search", "leak")])
def test_there_is_a_remedy_for_every_reason_for_which_a_picture_is_lost(reason: str) -> None:
    remedy = remedy_of(reason, CONFIG)
    assert remedy and not remedy.startswith("give the class more keywords under"), reason


@pytest.mark.parametrize(
    ("lost", "remedy"),
    [
        ({"kept": 2}, "put at least 6 more pictures into {pics}/cat"),
        ({"found": 0}, "put at least 8 more pictures into {pics}/cat"),
        ({"dropped": Counter({"near_copy": 8})}, "copies of each other: put at least 8 more pictures into {pics}/cat"),
        ({"dropped": Counter({"too_small": 8})}, "(now 64); else put at least 8 more pictures into {pics}/cat"),
        ({"dropped": Counter({"damaged": 8})}, "cannot be read as pictures: replace them"),
        ({"not_downloaded": Counter({"refused: html": 8})}, "no pictures that can be opened: replace them"),
        ({"not_downloaded": Counter({"withdrawn: file": 8})}, "put at least 8 more pictures into {pics}/cat"),
    ],
)
def test_the_remedy_for_own_pictures_names_their_folder_or_table(
    lost: dict[str, object], remedy: str, tmp_path
) -> None:
    (tmp_path / "pics" / "cat").mkdir(parents=True)
    counts = ClassCounts(**({"found": 8} | lost))  # type: ignore[arg-type]
    classes = {"kitten": "cat", "dog": "dog"}
    for place, shown in ((tmp_path / "pics", f"{tmp_path}/pics"), (tmp_path / "list.csv", "")):
        search = {"sources": ["folder"], "folder": {"path": str(place)}}
        said = remedy_for(counts, "kitten", WorkspaceConfig.model_validate({"classes": classes, "search": search}))
        if shown:
            assert remedy.format(pics=shown) in said
        assert not re.search("keywords|sources|servers", said) and ("put" not in said or shown)
    search = {"sources": ["url_list"], "url_list": {"file": "urls.csv"}}
    said = remedy_for(
        ClassCounts(found=2, kept=2), "kitten", WorkspaceConfig.model_validate({"classes": classes, "search": search})
    )
    assert said == "add at least 6 more rows of 'cat' to urls.csv"
