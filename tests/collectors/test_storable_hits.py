"""What a source finds can be stored, whatever database holds the catalogue."""

from random import Random
from unittest.mock import patch

import pytest

from collectors import download, search
from collectors.sources.base import ResultPage, SearchHit
from workspace.catalog.records import Download, Hit
from workspace.config.model import WorkspaceConfig
from workspace.storage.paths import Workspace

CONFIG = WorkspaceConfig.model_validate({"classes": {"cat": ("cat",), "dog": ("dog",)}})


def found(workspace: Workspace, *hits: SearchHit) -> list[Hit]:
    class Source:
        def search(self, _session, keyword, _cursor) -> ResultPage:
            return ResultPage(hits if keyword == "cat" else (), None)

    with patch("collectors.search.make_sources", return_value={"openverse": Source()}):
        search.run(workspace, CONFIG)
    with workspace.open_catalog() as catalog:
        return catalog.all(Hit)


def url_of(length: int) -> str:
    start = "https://photos.example/"
    return start + "".join(Random(length).choices("abcdefghij0123456789", k=length - len(start)))


@pytest.mark.parametrize("letters", ["a", "é"])
def test_an_address_above_2000_bytes_is_refused_and_never_asked_for(tmp_path, letters) -> None:
    workspace = Workspace(tmp_path)
    shorter, longer = url_of(2000), url_of(2001 if letters == "a" else 1990) + ("" if letters == "a" else "é" * 6)
    other = url_of(9000)
    hits = found(workspace, SearchHit(shorter), SearchHit(longer), SearchHit(other), SearchHit(longer))
    assert len(hits) == 3
    assert hits[0].image_url == shorter
    assert all(len(hit.image_url.encode()) < 400 for hit in hits[1:])
    with workspace.open_catalog() as catalog:
        refused = [(row.status, row.reason, row.attempts) for row in catalog.all(Download)]
        assert refused == [("refused", "bad_url", 0)] * 2
        assert "2,000 bytes" in catalog.all(Download)[0].detail
    assert found(workspace, SearchHit(longer)) == hits  # found again, it is the same
    counts = download.run(workspace, CONFIG, urls=[hits[1].image_url])  # as `retry --reason bad_url` does
    assert counts.by_reason["refused: bad_url"] == 2


def test_a_name_too_long_for_the_key_of_a_row_is_refused_with_the_settings() -> None:
    for classes in ({"x" * 501: ("cat",), "dog": ("dog",)}, {"cat": ("팬" * 167,), "dog": ("dog",)}):
        with pytest.raises(ValueError, match=r"501 bytes; a class or keyword has at most 500"):
            WorkspaceConfig.model_validate({"classes": classes})
    WorkspaceConfig.model_validate({"classes": {"x" * 500: ("cat",), "dog": ("dog",)}})
