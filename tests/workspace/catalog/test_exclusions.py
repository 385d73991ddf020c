import pytest

from workspace.catalog.class_progress import class_progress, urls_to_fetch
from workspace.catalog.collection_stats import read_collection_stats
from workspace.catalog.exclusions import record_exclusions
from workspace.catalog.records import Download, Hit, Withdrawal


def outcomes(catalog) -> dict[str, tuple[str, str]]:
    return {row.image_url: (row.status, row.reason) for row in catalog.all(Download)}


def test_what_has_not_a_wanted_licence_is_a_row_and_is_free_when_the_wish_changes(catalog) -> None:
    for name in ("by", "by-nc", ""):
        catalog.add_new([Hit("cat", "cat", "s", 0, f"http://x/{name or 'unknown'}", license=name)])
    assert record_exclusions(catalog, None) == set()
    assert record_exclusions(catalog, ("by",)) == {"http://x/by-nc", "http://x/unknown"}
    assert outcomes(catalog) == {
        "http://x/by-nc": ("skipped", "license_not_wanted"),
        "http://x/unknown": ("skipped", "license_unknown"),
    }
    assert urls_to_fetch(catalog, ["cat"], 9) == ["http://x/by"]
    left_out = read_collection_stats(catalog, ["cat"]).by_class["cat"].not_downloaded
    assert left_out == {"skipped: license_not_wanted": 1, "skipped: license_unknown": 1}
    state = class_progress(catalog, ["cat"])["cat"]
    assert (state.found, state.waiting, state.left_out, state.settled) == (3, 1, 2, 0)
    assert record_exclusions(catalog, ("by", "by-nc")) == {"http://x/unknown"}
    assert record_exclusions(catalog, None) == set()
    assert outcomes(catalog) == {}


def test_what_was_fetched_stays_and_other_reasons_stay(catalog) -> None:
    catalog.add_new([Hit("cat", "cat", "s", n, f"http://x/{n}", license="by-nc") for n in range(3)])
    catalog.put([Download("http://x/0", "ok", sha256="aa"), Download("http://x/1", "failed", "timeout")])
    assert record_exclusions(catalog, ("by",)) == {"http://x/2"}
    record_exclusions(catalog, None)
    assert outcomes(catalog) == {"http://x/0": ("ok", ""), "http://x/1": ("failed", "timeout")}


@pytest.mark.parametrize(
    ("licenses", "reason"),
    [(("by", ""), ""), (("by", "by"), ""), (("by", "by-nc"), "license_not_wanted"), (("", ""), "license_unknown")],
)
def test_of_two_sources_what_is_stated_counts_and_the_stricter_of_two(catalog, licenses, reason) -> None:
    catalog.add_new(
        [Hit("cat", "cat", s, 0, "http://x/1", license=name) for s, name in zip("ab", licenses, strict=True)]
    )
    record_exclusions(catalog, ("by",))
    assert outcomes(catalog).get("http://x/1", ("", ""))[1] == reason


@pytest.mark.parametrize(
    ("kind", "value", "hit"),
    [
        ("creator", "JANE  Doe", {"creator": "Jane Doe"}),
        ("url", "http://page/1", {"page_url": "http://page/1"}),
        ("url", "http://x/1", {}),
        ("license", "nc", {"license": "by-nc-sa"}),
        ("license", "by-nc", {"license": "by-nc"}),
    ],
)
def test_what_was_withdrawn_stays_out_when_it_is_found_later(catalog, kind, value, hit) -> None:
    catalog.put([Withdrawal(kind, value)])
    catalog.add_new(
        [Hit("cat", "cat", "s", 0, "http://x/1", **hit), Hit("cat", "cat", "s", 1, "http://x/2", creator="Jane")]
    )
    assert record_exclusions(catalog, None, ["http://x/1", "http://x/2"]) == {"http://x/1"}
    assert outcomes(catalog) == {"http://x/1": ("withdrawn", kind)}
    assert urls_to_fetch(catalog, ["cat"], 9) == ["http://x/2"]
    assert read_collection_stats(catalog, ["cat"]).by_class["cat"].not_downloaded == {f"withdrawn: {kind}": 1}
