"""Naver: image search through the API HUB or the older Open API (documentation: "이미지 검색 결과 조회")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo
from collectors.sources.json_api import JsonApi
from collectors.sources.parsing import documented_shape, expect_hits, pixels, plain_text
from workspace.config.collect import SearchConfig

_HUB = "https://naverapihub.apigw.ntruss.com/search/v1/image", ("X-NCP-APIGW-API-KEY-ID", "X-NCP-APIGW-API-KEY")
_OLD = "https://openapi.naver.com/v1/search/image", ("X-Naver-Client-Id", "X-Naver-Client-Secret")
_HUB_KEYS = ("NAVER_API_HUB_CLIENT_ID", "NAVER_API_HUB_CLIENT_SECRET")
_OLD_KEYS = ("NAVER_CLIENT_ID", "NAVER_CLIENT_SECRET")
_PAGE_SIZE = 100  # `display`, at most 100
_MAX_DEPTH = 1000  # `start`, at most 1000


class Naver:
    """Search images of the (mostly Korean) web, most similar first.

    Args:
        search: base URL and keys; the API HUB is used when both of its keys are set.

    Raises:
        ConfigError: there is no key; names the environment variables.
    """

    def __init__(self, search: SearchConfig) -> None:
        keys = INFO.find_keys(search)
        url, headers = _HUB if _HUB_KEYS[0] in keys else _OLD
        key_headers = dict(zip(headers, keys.values(), strict=True))
        self._api = JsonApi(search.base_url(INFO.name, url), key_headers, keys.values())

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request one page of 100; the cursor is the rank of its first hit; see Source.search."""
        start = int(cursor or 1)
        params = {"query": keyword, "display": _PAGE_SIZE, "start": start, "sort": "sim", "filter": "all"}
        hits, total = parse(self._api.get(session, params))
        following = start + _PAGE_SIZE
        return ResultPage(hits, str(following) if hits and following <= min(total, _MAX_DEPTH) else None)


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], int]:
    """Parse one answer: the hits, best first, and the total number of hits.

    Raises:
        SourceFailed: `changed`: the answer does not have the documented shape.
    """
    with documented_shape("Naver"):
        rows = payload["items"]
        return expect_hits(rows, tuple(_hit(item) for item in rows if item.get("link"))), int(payload["total"])


def _hit(item: Mapping[str, Any]) -> SearchHit:
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
    limits="100 a page, 1,100 per keyword, 25,000 requests a day; the older Open API ends on 2027-06-30",
    licenses=False,
    keys=(_HUB_KEYS, _OLD_KEYS),
    url=_HUB[0],
)
