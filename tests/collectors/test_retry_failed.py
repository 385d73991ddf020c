import re

import pytest
from typer.testing import CliRunner

from cli.main import app
from collectors import download, search
from collectors import retry_failed as retry
from workspace.catalog.records import Download, Hit, Search
from workspace.config.sources import ResultsPageConfig
from workspace.config.template import render_config
from workspace.errors import ConfigError
from workspace.reasons import is_retryable


@pytest.fixture
def failed(site, workspace, configure):
    """A workspace whose downloads failed: two with 503, one with 403, one that was too large; the settings."""
    config = configure(site, network={"attempts": 1}, download={"max_mb": 1})
    search.run(workspace, config)
    with workspace.open_catalog() as catalog:
        paths = [hit.image_url.removeprefix(site.base_url) for hit in catalog.all(Hit) if hit.label == "cat"]
    for path, fault in zip(paths, ["503", "503", "403", "endless"], strict=False):
        site.misbehave(path, fault)
    counts = download.run(workspace, config)
    assert counts.by_reason == {
        "ok": 8,
        "failed: http_403": 1,
        "failed: http_503": 2,
        "refused: too_large": 1,
    }
    workspace.config_file.write_text(render_config(config))
    return config


def rows(workspace) -> dict[str, str]:
    with workspace.open_catalog() as catalog:
        return {row.image_url: row.reason for row in catalog.all(Download)}


def test_without_a_reason_all_that_may_heal_is_tried_again_and_nothing_else(site, workspace, failed) -> None:
    before, asked = rows(workspace), site.requests["image"]
    counts = retry.run(workspace, failed)
    assert (counts.done, site.requests["image"] - asked) == (2, 2)
    assert dict(counts.by_reason) == {"download: http_403": 1, "download: too_large": 1}
    changed = {url for url, reason in rows(workspace).items() if before[url] != reason}
    assert {before[url] for url in changed} == {"http_503"}


def test_a_reason_is_tried_again_when_it_is_named_even_one_that_was_refused(site, workspace, failed) -> None:
    counts = retry.run(workspace, failed, ["too_large", "http_403"])
    assert (counts.done, dict(counts.by_reason)) == (2, {"download: http_503": 2})
    with pytest.raises(ConfigError, match=r"for the reason timeout; failures: http_503 \(2\)"):
        retry.run(workspace, failed, ["timeout"])


def test_the_command_says_what_failed_before_and_after(site, workspace, failed) -> None:
    result = CliRunner().invoke(app, ["retry", "-w", str(workspace.root), "--reason", "http_503, http_403"])
    assert result.exit_code == 0, result.output
    assert "3 retried, 3 succeeded" in result.output
    lines = dict(re.findall(r"^download: (\w+) +│ +(\d+ +│ +\d+)", result.output, re.MULTILINE))
    assert {name: re.findall(r"\d+", line) for name, line in lines.items()} == {
        "http_403": ["1", "0"],
        "http_503": ["2", "0"],
        "too_large": ["1", "1"],
    }
    again = CliRunner().invoke(app, ["retry", "-w", str(workspace.root)])
    assert "0 retried, 0 succeeded" in again.output


def test_a_search_that_failed_is_asked_again_even_when_enough_was_found(site, workspace, configure) -> None:
    config = configure(site, search={"per_class": 1}, network={"attempts": 1})
    config = config.model_copy(
        update={
            "search": config.search.model_copy(
                update={
                    "sources": ("openverse", "results_page"),
                    "results_page": ResultsPageConfig(url=site.results_url),
                }
            )
        }
    )
    site.misbehave("/v1/images/?q=cat", "503")
    search.run(workspace, config)
    with workspace.open_catalog() as catalog:
        before = {(row.label, row.source): row.status for row in catalog.all(Search)}
        hits = len(catalog.all(Hit))
    assert before[("cat", "openverse")] == "failed"
    asked = site.requests["search"]
    counts = retry.run(workspace, config, ["http_503"])
    assert (counts.done, dict(counts.by_reason), site.requests["search"] - asked) == (1, {}, 1)
    with workspace.open_catalog() as catalog:
        after = {(row.label, row.source): row.status for row in catalog.all(Search)}
        assert len(catalog.all(Hit)) == hits + 7
    assert {key for key in after if after[key] != before[key]} == {("cat", "openverse")}


@pytest.mark.parametrize("reason", ["timeout", "http_503", "http_408", "host_given_up", "robots_unreachable"])
def test_what_may_heal(reason: str) -> None:
    assert is_retryable(reason)


@pytest.mark.parametrize("reason", ["http_404", "http_403", "http_5000", "robots", "opted_out", "too_large", "svg"])
def test_what_does_not_heal_by_itself(reason: str) -> None:
    assert not is_retryable(reason)
