"""Client of a JSON API: its base URL, its key, and where the key goes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from collectors.http.session import PoliteSession
from collectors.sources.fetch import fetch_json


@dataclass(frozen=True, slots=True)
class JsonApi:
    """Request JSON from one API; a source adds its parameters and its `parse`.

    Attributes:
        url: base URL.
        headers: sent with every request, such as a key.
        secrets: texts that must not appear in an error: the keys.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Collection[str] = ()

    def get(self, session: PoliteSession, params: Mapping[str, object], path: str = "") -> Any:
        """Fetch one answer; `path` is appended to the base URL.

        Raises:
            SourceFailed: no answer, a refusal, a captcha, or an answer that is not JSON.
        """
        url = f"{self.url}{path}?{urlencode(params)}"
        return fetch_json(session, url, headers=self.headers or None, secrets=self.secrets)
