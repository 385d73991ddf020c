"""Naver's image search, through the API HUB or the older Open API (documentation: "이미지 검색 결과 조회")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from collectors.polite import PoliteSession
from collectors.source import (
    Found,
    Page,
    SourceInfo,
    ask_json,
    documented_shape,
    expect_pictures,
    find_keys,
    pixels,
    plain_text,
)
from workspace.collect_config import SearchConfig
from workspace.errors import ConfigError

_HUB_URL = "https://naverapihub.apigw.ntruss.com/search/v1/image"
_OLD_URL = "https://openapi.naver.com/v1/search/image"
_HUB_KEYS = ("NAVER_API_HUB_CLIENT_ID", "NAVER_API_HUB_CLIENT_SECRET")
_OLD_KEYS = ("NAVER_CLIENT_ID", "NAVER_CLIENT_SECRET")
_PAGE_SIZE = 100  # `display`, at most 100
_DEEPEST = 1000  # `start`, at most 1000


class Naver:
    """Pictures of the (mostly Korean) web, by accuracy.

    Args:
        search: base address and keys; the API HUB is asked where both keys are there.

    Raises:
        ConfigError: there is no key; names the environment variables.
    """

    def __init__(self, search: SearchConfig) -> None:
        hub, old = find_keys(search, _HUB_KEYS), find_keys(search, _OLD_KEYS)
        keys = hub or old
        if keys is None:
            raise ConfigError(
                f"the source naver needs a key: set {' and '.join(_HUB_KEYS)} (NAVER API HUB), "
                f"or {' and '.join(_OLD_KEYS)} (the older Open API), in the environment"
            )
        self._keys = keys
        self._url = search.base_url("naver", _HUB_URL if hub else _OLD_URL)
        names = (
            ("X-NCP-APIGW-API-KEY-ID", "X-NCP-APIGW-API-KEY") if hub else ("X-Naver-Client-Id", "X-Naver-Client-Secret")
        )
        self._headers = dict(zip(names, keys, strict=True))

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> Page:
        """Ask for one page of 100; the cursor is the place of its first picture; see Source.search."""
        start = int(cursor or 1)
        question = {"query": keyword, "display": _PAGE_SIZE, "start": start, "sort": "sim", "filter": "all"}
        url = f"{self._url}?{urlencode(question)}"
        found, total = parse(ask_json(session, url, headers=self._headers, secrets=self._keys))
        following = start + _PAGE_SIZE
        return Page(found, str(following) if found and following <= min(total, _DEEPEST) else None)


def parse(payload: Any) -> tuple[tuple[Found, ...], int]:
    """Read one answer: the pictures, best first, and how many Naver knows in all.

    Raises:
        SourceFailed: `changed`: the answer has not the documented shape.
    """
    with documented_shape("Naver"):
        rows = payload["items"]
        return expect_pictures(rows, tuple(_found(item) for item in rows if item.get("link"))), int(payload["total"])


def _found(item: Mapping[str, Any]) -> Found:
    return Found(
        image_url=str(item["link"]),
        title=plain_text(item.get("title")),
        width=pixels(item.get("sizewidth")),
        height=pixels(item.get("sizeheight")),
    )


INFO = SourceInfo(
    factory=Naver,
    summary="Naver's image search, strong in Korean; no licence, creator or page is given.",
    limits="100 a page, 1,100 per keyword, 25,000 questions a day; the older Open API ends on 2027-06-30",
    licenses=False,
    keys=(_HUB_KEYS, _OLD_KEYS),
    urls={"naver": _HUB_URL},
)
