"""Openverse: openly licensed images, with or without a key (API documentation: "Search images", "rate limits")."""

from __future__ import annotations

import io
import json
from typing import Any
from urllib.parse import urlencode

from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage, SearchHit, SourceInfo, find_keys
from collectors.sources.fetch import fetch_json
from collectors.sources.parsing import documented_shape, expect_hits, pixels
from workspace.config.collect import SearchConfig
from workspace.errors import SourceFailed, TransferFailed

_KEYS = ("OPENVERSE_CLIENT_ID", "OPENVERSE_CLIENT_SECRET")
_ANONYMOUS_PAGE = 20  # the most that an anonymous request may ask for; more is answered with 401
# All users see at most 240 results per query (WordPress/openverse issue 4474); with a key they fit one page.
_KEYED_PAGE = 240
_MAX_TOKEN_BYTES = 1 << 16


class Openverse:
    """Search `/images/` of the Openverse API, anonymously or with client credentials.

    Args:
        search: base URL, licence filter and credentials.

    Raises:
        ConfigError: a credential cannot be one.
    """

    def __init__(self, search: SearchConfig) -> None:
        self._base_url = INFO.base_url(search)
        self._licenses = search.licenses
        self._credentials = find_keys(search, _KEYS)
        self._page_size = _KEYED_PAGE if self._credentials else _ANONYMOUS_PAGE
        self._token = ""

    def scope(self, keyword: str) -> object:
        """See Scoped.scope: the licences that are asked for."""
        return self._licenses

    def search(self, session: PoliteSession, keyword: str, cursor: str | None) -> ResultPage:
        """Request one page of 20, or of 240 with credentials; see Source.search."""
        number = self._page_number(cursor)
        params = {"q": keyword, "page": number, "page_size": self._page_size}
        if self._licenses:
            params["license"] = ",".join(self._licenses)
        try:
            answer = self._get(session, f"{self._base_url}/images/?{urlencode(params)}")
        except SourceFailed as error:
            if error.reason == "needs_key" and number > 1:
                raise SourceFailed(
                    "depth_limit",
                    f"Openverse shows no further pages ({(number - 1) * self._page_size} pictures for "
                    f"{keyword!r}); it grants more on request only; add keywords or sources",
                ) from error
            raise
        hits, page_count = parse(answer)
        more = hits and number < page_count
        return ResultPage(hits, f"{number + 1}/{self._page_size}" if more else None)

    def _page_number(self, cursor: str | None) -> int:
        """Convert the cursor `number/size` to a page number of the current page size; no size means pages of 20."""
        number, _, size = (cursor or "1").partition("/")
        return (int(number) - 1) * int(size or _ANONYMOUS_PAGE) // self._page_size + 1

    def _get(self, session: PoliteSession, url: str) -> Any:
        if self._credentials is None:
            return fetch_json(session, url)
        if self._token:
            try:
                return fetch_json(session, url, headers=self._authorization(), secrets=(self._token,))
            except SourceFailed as error:
                if error.reason != "needs_key":
                    raise  # a token is valid for hours; a new one is requested only when it is refused
        self._token = _request_token(session, f"{self._base_url}/auth_tokens/token/", *self._credentials)
        return fetch_json(session, url, headers=self._authorization(), secrets=(self._token,))

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}


def parse(payload: Any) -> tuple[tuple[SearchHit, ...], int]:
    """Parse one answer: the hits, best first, and the number of pages.

    Raises:
        SourceFailed: `changed`: the answer does not have the documented shape.
    """
    with documented_shape("Openverse"):
        results, page_count = payload["results"], int(payload["page_count"])
        return expect_hits(results, tuple(_hit(result) for result in results if result.get("url"))), page_count


def _hit(result: dict[str, Any]) -> SearchHit:
    return SearchHit(
        image_url=str(result["url"]),
        page_url=_text(result, "foreign_landing_url"),
        title=_text(result, "title"),
        creator=_text(result, "creator"),
        license=_text(result, "license").lower(),
        license_url=_text(result, "license_url"),
        attribution=_text(result, "attribution"),
        width=pixels(result.get("width")),
        height=pixels(result.get("height")),
    )


def _text(result: dict[str, Any], key: str) -> str:
    return str(result.get(key) or "").strip()


def _request_token(session: PoliteSession, url: str, client_id: str, client_secret: str) -> str:
    """Exchange the credentials for a token (API documentation: "token").

    Raises:
        SourceFailed: the request was refused or not answered; the text holds neither credential.
    """
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    body = io.BytesIO()
    failure: TransferFailed | None = None
    try:
        session.fetch(
            url,
            body,
            max_bytes=_MAX_TOKEN_BYTES,
            accept="application/json",
            form=form,
            secrets=(client_id, client_secret),
        )
    except TransferFailed as error:
        failure = error  # raised below, outside of this block, since its text or its causes may hold the form
    if failure is not None and failure.http_status in {400, 401, 403}:
        raise SourceFailed(
            "needs_key", f"{url} refused {' and '.join(_KEYS)} with {failure.http_status}; is the e-mail verified?"
        )
    if failure is not None:
        raise SourceFailed(failure.reason, f"{url} gave no token")
    with documented_shape("Openverse's token service"):
        return str(json.loads(body.getvalue())["access_token"])


INFO = SourceInfo(
    name="openverse",
    factory=Openverse,
    summary="Openly licensed pictures of Flickr, Commons, museums and others, with licence and creator.",
    limits="anonymous: 20 a page, 20 requests a minute, 200 a day; with a key larger pages and more requests; "
    "240 pictures per keyword either way",
    licenses=True,
    keys=(_KEYS,),
    keys_optional=True,
    pause_s=1.0,  # "rate limits": one request a second for anonymous users
    url="https://api.openverse.org/v1",
)
