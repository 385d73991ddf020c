"""Openverse: openly licensed pictures, no key needed (API documentation: "Search images", "rate limits")."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from collectors.polite import PoliteSession
from collectors.source import Found, Page, ask_json
from workspace.config import SearchConfig
from workspace.errors import SourceFailed

_PAGE_SIZE = 20  # the most that an anonymous question may ask for; more is answered with 401


class Openverse:
    """The `/images/` search of the Openverse API, asked anonymously.

    Args:
        search: base address and licence filter.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._base_url = search.openverse_url
        self._licenses = search.licenses

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> Page:
        """Ask for one page of 20; see Source.search."""
        number = int(cursor or 1)
        question = {"q": keyword, "page": number, "page_size": _PAGE_SIZE}
        if self._licenses:
            question["license"] = ",".join(self._licenses)
        found, page_count = parse(ask_json(session, f"{self._base_url}/images/?{urlencode(question)}"))
        return Page(found, str(number + 1) if found and number < page_count else None)


def parse(payload: Any) -> tuple[tuple[Found, ...], int]:
    """Read one answer: the pictures, best first, and how many pages there are.

    Raises:
        SourceFailed: `changed`: the answer has not the documented shape.
    """
    try:
        results, page_count = payload["results"], int(payload["page_count"])
        return tuple(_found(result) for result in results if result.get("url")), page_count
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceFailed("changed", f"Openverse's answer has no longer the documented shape: {error!r}") from error


def _found(result: dict[str, Any]) -> Found:
    return Found(
        image_url=str(result["url"]),
        page_url=_text(result, "foreign_landing_url"),
        title=_text(result, "title"),
        creator=_text(result, "creator"),
        license=_text(result, "license").lower(),
        license_url=_text(result, "license_url"),
        attribution=_text(result, "attribution"),
        width=result.get("width"),
        height=result.get("height"),
    )


def _text(result: dict[str, Any], key: str) -> str:
    return str(result.get(key) or "").strip()
