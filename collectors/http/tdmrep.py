"""Obey /.well-known/tdmrep.json, a site's reservations by path (TDM Reservation Protocol, section "TDM File")."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from collectors.http.site_file import NEVER_AGAIN_S, SiteFile
from collectors.http.transfer import AttemptFailed
from collectors.http.urls import path_and_query
from collectors.http.usage_preferences import Preference, path_matches, tdm_preference

FILE = "/.well-known/tdmrep.json"
MAX_BYTES = 5_000_000
"""The largest file that is read; a larger one counts as none."""


@dataclass(frozen=True, slots=True)
class TdmRule:
    """One rule: the pattern of the paths that it is about, whether they are reserved, and the url of a policy."""

    location: str
    reserved: bool
    policy: str | None


class TdmReservations:
    """Fetch the tdmrep.json of each host once and look urls up in it; safe to use from many threads.

    Args:
        fetch: writes a url's body into a file in one attempt, or raises AttemptFailed.
        recheck_after_s: seconds until a file that a server could not deliver is requested again.
    """

    def __init__(self, fetch: Callable[[str, BinaryIO], None], *, recheck_after_s: float) -> None:
        self._fetch = fetch
        self._recheck_after_s = recheck_after_s
        self._files = SiteFile(self._read)

    def preferences(self, url: str) -> list[Preference]:
        """Return the reservation of a url: one, or none. The first rule that matches counts."""
        rule = next((rule for rule in self._files.of(url) if path_matches(rule.location, path_and_query(url))), None)
        if rule is None or not rule.reserved:
            return []
        return [tdm_preference(f"{FILE}: {rule.location[:200]} is reserved", rule.policy)]

    def _read(self, site_origin: str) -> tuple[list[TdmRule], float]:
        body = io.BytesIO()
        try:
            self._fetch(site_origin + FILE, body)
        except AttemptFailed as failure:
            # "Failure to provide access […] implies that the origin server does not implement this protocol."
            if not failure.sent:
                return [], 0.0
            return [], self._recheck_after_s if failure.blames_host else NEVER_AGAIN_S
        return parse_rules(body.getvalue()), NEVER_AGAIN_S


def parse_rules(data: bytes) -> list[TdmRule]:
    """Parse a tdmrep.json; what is no rule is left out, and a file that is no JSON array has none.

    >>> parse_rules(b'[{"location": "/", "tdm-reservation": 1}]')
    [TdmRule(location='/', reserved=True, policy=None)]
    """
    try:
        rules = json.loads(data)
    except (ValueError, RecursionError):
        return []
    return [made for rule in rules if (made := _rule(rule))] if isinstance(rules, list) else []


def _rule(rule: Any) -> TdmRule | None:
    if not isinstance(rule, dict) or not isinstance(location := rule.get("location"), str):
        return None
    policy = rule.get("tdm-policy")
    # The integer 1 and nothing else, says the report; a text is the commonest slip, and its sense is clear.
    reserved = rule.get("tdm-reservation") in (1, "1")
    location = location if location.startswith(("/", "*")) else f"/{location}"
    return TdmRule(location, reserved, policy if isinstance(policy, str) else None)
