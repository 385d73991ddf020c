"""Kakao: image search of Daum (documentation: "Daum 검색, REST API, 이미지 검색")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.json_api import JsonApi
from collectors.sources.parsing import documented_shape, expect_hits, pixels, plain_text
from workspace.config.collect import SearchConfig

_PAGE_SIZE = 80  # `size`, at most 80
_LAST_PAGE = 50


class Kakao:
    """Search images of the (mostly Korean) web, most accurate first.

    Args:
        search: base URL and key.

    Raises:
        ConfigError: there is no key; names the environment variable.
    """

    def __init__(self, search: SearchConfig) -> None:
        (key,) = INFO.find_keys(search).values()
        self._api = JsonApi(INFO.base_url(search), {"Authorization": f"KakaoAK {key}"}, (key,))

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request one page of 80; the cursor is the page number; see Source.search."""
        number = int(cursor or 1)
        params = {"query": keyword, "sort": "accuracy", "page": number, "size": _PAGE_SIZE}
        hits, at_end = parse(self._api.get(session, params))
        return ResultPage(hits, None if at_end or number >= _LAST_PAGE else str(number + 1))


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], bool]:
    """Parse one answer: the hits, best first, and whether this was the last page.

    Raises:
        SourceFailed: `changed`: the answer does not have the documented shape.
    """
    with documented_shape("Kakao"):
        rows, at_end = payload["documents"], bool(payload["meta"]["is_end"])
        return expect_hits(rows, tuple(_hit(row) for row in rows if row.get("image_url"))), at_end


def _hit(row: Mapping[str, Any]) -> SearchHit:
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
