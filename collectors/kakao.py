"""Kakao's search of Daum for images (documentation: "Daum 검색, REST API, 이미지 검색")."""

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

_URL = "https://dapi.kakao.com/v2/search/image"
_KEYS = ("KAKAO_REST_API_KEY",)
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
        keys = find_keys(search, _KEYS)
        if keys is None:
            raise ConfigError(f"the source kakao needs a key: set {_KEYS[0]} in the environment")
        self._keys = keys
        self._url = search.base_url("kakao", _URL)

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> Page:
        """Ask for one page of 80; the cursor is its number; see Source.search."""
        number = int(cursor or 1)
        question = {"query": keyword, "sort": "accuracy", "page": number, "size": _PAGE_SIZE}
        headers = {"Authorization": f"KakaoAK {self._keys[0]}"}
        found, at_end = parse(
            ask_json(session, f"{self._url}?{urlencode(question)}", headers=headers, secrets=self._keys)
        )
        return Page(found, None if at_end or number >= _LAST_PAGE else str(number + 1))


def parse(payload: Any) -> tuple[tuple[Found, ...], bool]:
    """Read one answer: the pictures, best first, and whether this was the last page.

    Raises:
        SourceFailed: `changed`: the answer has not the documented shape.
    """
    with documented_shape("Kakao"):
        rows, at_end = payload["documents"], bool(payload["meta"]["is_end"])
        return expect_pictures(rows, tuple(_found(row) for row in rows if row.get("image_url"))), at_end


def _found(row: Mapping[str, Any]) -> Found:
    return Found(
        image_url=str(row["image_url"]),
        page_url=str(row.get("doc_url") or ""),
        title=plain_text(row.get("display_sitename")),
        width=pixels(row.get("width")),
        height=pixels(row.get("height")),
    )


INFO = SourceInfo(
    factory=Kakao,
    summary="Kakao's image search of Daum, strong in Korean; the page is given, but neither licence nor creator.",
    limits="80 a page, 50 pages; quotas by day and month as shown in the developer console",
    licenses=False,
    keys=(_KEYS,),
    urls={"kakao": _URL},
)
