"""A service that answers questions with JSON: its base URL, its key, and where the key goes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from collectors.http.session import PoliteSession
from collectors.sources.base import fetch_json


@dataclass(frozen=True, slots=True)
class JsonApi:
    """Leaves a source its question and its `parse`.

    Attributes:
        url: base URL.
        headers: sent with every question, such as a key.
        secrets: what must not appear in an error's text: the keys.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Collection[str] = ()

    def ask(self, session: PoliteSession, question: Mapping[str, object], path: str = "") -> Any:
        """Fetch one answer; `path` follows the base URL.

        Raises:
            SourceFailed: no answer, a refusal, a captcha, or something else than JSON.
        """
        url = f"{self.url}{path}?{urlencode(question)}"
        return fetch_json(session, url, headers=self.headers or None, secrets=self.secrets)
