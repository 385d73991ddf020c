"""Naver's image search, through the API HUB or the older Open API (documentation: "이미지 검색 결과 조회")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo, documented_shape, expect_hits, pixels, plain_text
from collectors.sources.json_api import JsonApi
from workspace.config.collect import SearchConfig

_HUB = "https://naverapihub.apigw.ntruss.com/search/v1/image", ("X-NCP-APIGW-API-KEY-ID", "X-NCP-APIGW-API-KEY")
_OLD = "https://openapi.naver.com/v1/search/image", ("X-Naver-Client-Id", "X-Naver-Client-Secret")
_HUB_KEYS = ("NAVER_API_HUB_CLIENT_ID", "NAVER_API_HUB_CLIENT_SECRET")
_OLD_KEYS = ("NAVER_CLIENT_ID", "NAVER_CLIENT_SECRET")
_PAGE_SIZE = 100  # `display`, at most 100
_MAX_DEPTH = 1000  # `start`, at most 1000


class Naver:
    """Pictures of the (mostly Korean) web, by accuracy.

    Args:
        search: base address and keys; the API HUB is asked where both keys are there.

    Raises:
        ConfigError: there is no key; names the environment variables.
    """

    def __init__(self, search: SearchConfig) -> None:
        keys = INFO.find_keys(search)
        url, headers = _HUB if _HUB_KEYS[0] in keys else _OLD
        named = dict(zip(headers, keys.values(), strict=True))
        self._api = JsonApi(search.base_url(INFO.name, url), named, keys.values())

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Ask for one page of 100; the cursor is the place of its first picture; see Source.search."""
        start = int(cursor or 1)
        question = {"query": keyword, "display": _PAGE_SIZE, "start": start, "sort": "sim", "filter": "all"}
        found, total = parse(self._api.ask(session, question))
        following = start + _PAGE_SIZE
        return ResultPage(found, str(following) if found and following <= min(total, _MAX_DEPTH) else None)


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], int]:
    """Read one answer: the pictures, best first, and how many Naver knows in all.

    Raises:
        SourceFailed: `changed`: the answer has not the documented shape.
    """
    with documented_shape("Naver"):
        rows = payload["items"]
        return expect_hits(rows, tuple(_found(item) for item in rows if item.get("link"))), int(payload["total"])


def _found(item: Mapping[str, Any]) -> SearchHit:
    return SearchHit(
        image_url=str(item["link"]),
        title=plain_text(item.get("title")),
        width=pixels(item.get("sizewidth")),
        height=pixels(item.get("sizeheight")),
    )


INFO = SourceInfo(
    name="naver",
    factory=Naver,
    summary="Naver's image search, strong in Korean; no licence, creator or page is given.",
    limits="100 a page, 1,100 per keyword, 25,000 questions a day; the older Open API ends on 2027-06-30",
    licenses=False,
    keys=(_HUB_KEYS, _OLD_KEYS),
    url=_HUB[0],
)
