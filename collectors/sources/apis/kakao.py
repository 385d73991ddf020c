"""Kakao's search of Daum for images (documentation: "Daum 검색, REST API, 이미지 검색")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo, documented_shape, expect_hits, pixels, plain_text
from collectors.sources.json_api import JsonApi
from workspace.config.collect import SearchConfig

_PAGE_SIZE = 80  # `size`, at most 80
_LAST_PAGE = 50


class Kakao:
    """Pictures of the (mostly Korean) web, by accuracy.

    Args:
        search: base address and key.

    Raises:
        ConfigError: there is no key; names the environment variable.
    """

    def __init__(self, search: SearchConfig) -> None:
        (key,) = INFO.find_keys(search).values()
        self._api = JsonApi(INFO.base_url(search), {"Authorization": f"KakaoAK {key}"}, (key,))

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Ask for one page of 80; the cursor is its number; see Source.search."""
        number = int(cursor or 1)
        question = {"query": keyword, "sort": "accuracy", "page": number, "size": _PAGE_SIZE}
        found, at_end = parse(self._api.ask(session, question))
        return ResultPage(found, None if at_end or number >= _LAST_PAGE else str(number + 1))


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], bool]:
    """Read one answer: the pictures, best first, and whether this was the last page.

    Raises:
        SourceFailed: `changed`: the answer has not the documented shape.
    """
    with documented_shape("Kakao"):
        rows, at_end = payload["documents"], bool(payload["meta"]["is_end"])
        return expect_hits(rows, tuple(_found(row) for row in rows if row.get("image_url"))), at_end


def _found(row: Mapping[str, Any]) -> SearchHit:
    return SearchHit(
        image_url=str(row["image_url"]),
        page_url=str(row.get("doc_url") or ""),
        title=plain_text(row.get("display_sitename")),
        width=pixels(row.get("width")),
        height=pixels(row.get("height")),
    )


INFO = SourceInfo(
    name="kakao",
    factory=Kakao,
    summary="Kakao's image search of Daum, strong in Korean; the page is given, but neither licence nor creator.",
    limits="80 a page, 50 pages; quotas by day and month as shown in the developer console",
    licenses=False,
    keys=(("KAKAO_REST_API_KEY",),),
    url="https://dapi.kakao.com/v2/search/image",
)
