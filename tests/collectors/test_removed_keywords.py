"""A class whose keyword was replaced is filled by the new one, and what both find belongs to the new one."""

import pytest

from collectors import download, search
from workspace.catalog.class_progress import class_progress
from workspace.catalog.hits.questions import Questions
from workspace.catalog.records import Download, Hit
from workspace.config.model import WorkspaceConfig


def asking(config: WorkspaceConfig, **classes: list[str]) -> WorkspaceConfig:
    return WorkspaceConfig.model_validate(config.model_dump() | {"classes": classes})


def fetched(workspace) -> set[str]:
    with workspace.open_catalog() as catalog:
        return {row.image_url for row in catalog.all(Download)}


def found_by(workspace, keyword: str) -> set[str]:
    with workspace.open_catalog() as catalog:
        return {hit.image_url for hit in catalog.all(Hit) if (hit.label, hit.keyword) == ("pet", keyword)}


def test_the_urls_of_a_replaced_keyword_are_not_fetched(site, workspace, configure) -> None:
    old, new = site.keywords[:2]
    before = asking(configure(site), pet=[old], other=[site.keywords[-1]])
    after = asking(before, pet=[new], other=[site.keywords[-1]])
    search.run(workspace, before)
    search.run(workspace, after)
    assert found_by(workspace, old) and found_by(workspace, new)
    download.run(workspace, after)
    assert found_by(workspace, new) <= fetched(workspace)
    assert not found_by(workspace, old) & fetched(workspace)
    with workspace.open_catalog() as catalog:
        progress = class_progress(catalog, ["pet"], Questions.of(after))["pet"]
    assert (progress.waiting, progress.not_asked) == (0, len(found_by(workspace, old)))
    download.run(workspace, before)  # the keyword is back
    assert found_by(workspace, old) <= fetched(workspace)


def test_what_waits_for_a_removed_keyword_does_not_keep_the_new_one_from_being_searched(
    site, workspace, configure
) -> None:
    old, new = site.keywords[:2]
    before = asking(configure(site, search={"per_class": 3}), pet=[old], other=[site.keywords[-1]])
    search.run(workspace, before)
    search.run(workspace, asking(before, pet=[new], other=[site.keywords[-1]]))
    assert found_by(workspace, new)


@pytest.mark.parametrize("is_fetched", [False, True], ids=["not fetched", "all gone"])
def test_what_a_removed_keyword_found_does_not_use_up_the_limit_of_the_new_one(
    site, workspace, configure, is_fetched
) -> None:
    old, new = site.keywords[:2]
    limits = {"per_class": 2, "max_found_per_picture": 2}
    before = asking(configure(site, search=limits), pet=[old], other=[site.keywords[-1]])
    search.run(workspace, before)
    if is_fetched:
        with workspace.open_catalog() as catalog:
            catalog.put(Download(url, "failed", "http_404") for url in found_by(workspace, old))
    after = asking(before, pet=[new], other=[site.keywords[-1]])
    search.run(workspace, after)
    assert found_by(workspace, new)
    with workspace.open_catalog() as catalog:
        state = class_progress(catalog, ["pet"], Questions.of(after))["pet"]
    assert (state.found_by_removed, state.found_today) == (len(found_by(workspace, old)), len(found_by(workspace, new)))


def test_what_the_present_keyword_finds_again_is_fetched(site, workspace, configure) -> None:
    word = site.keywords[0]
    before = asking(configure(site), pet=[word], other=[site.keywords[-1]])
    after = asking(before, pet=[word.upper()], other=[site.keywords[-1]])
    search.run(workspace, before)
    urls = found_by(workspace, word)
    search.run(workspace, after)
    assert found_by(workspace, word.upper()) == urls and not found_by(workspace, word)
    download.run(workspace, after)
    assert urls <= fetched(workspace)


def test_what_two_keywords_found_stays_when_one_of_them_is_removed(site, workspace, configure) -> None:
    word, other = site.keywords[0], site.keywords[-1]
    both = asking(configure(site), pet=[word, word.upper()], other=[other])
    search.run(workspace, both)
    urls = found_by(workspace, word)
    assert urls and not found_by(workspace, word.upper())  # the hits name the first
    one = asking(both, pet=[word.upper()], other=[other])
    before = site.requests["search"]
    search.run(workspace, one)
    assert found_by(workspace, word.upper()) == urls
    asked = site.requests["search"]
    search.run(workspace, one)
    assert asked > before and site.requests["search"] == asked  # once for the removal, not in every run
    search.run(workspace, both)  # the keyword is back, and removed once more, now with the other
    search.run(workspace, asking(both, pet=[word], other=[other]))
    assert found_by(workspace, word) == urls
    download.run(workspace, asking(both, pet=[word], other=[other]))
    assert urls <= fetched(workspace)


def test_nothing_begins_anew_where_the_removed_keyword_left_nothing_to_fetch(site, workspace, configure) -> None:
    word, other = site.keywords[0], site.keywords[-1]
    both = asking(configure(site), pet=[word, word.upper()], other=[other])
    search.run(workspace, both)
    download.run(workspace, both)
    asked = site.requests["search"]
    search.run(workspace, asking(both, pet=[word.upper()], other=[other]))
    assert site.requests["search"] == asked
