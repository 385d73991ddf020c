"""Obey robots.txt, and read what it says of machine learning (Content-Signal, Content-Usage).

robots.txt applies to what is crawled: pages that are read for their images, and every downloaded file. An official
API is used by its own terms instead (keys, rate limits), because it is made for programs, and the robots.txt of such
hosts commonly forbids the API's own paths to search engines.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO
from urllib.parse import urlsplit

from protego import Protego

from collectors.http.hosts.rate_limit import RateLimiter
from collectors.http.site_file import NEVER_AGAIN_S, SiteFile
from collectors.http.transfer import AttemptFailed
from collectors.http.urls import origin, path_and_query
from collectors.http.usage_preferences import PRODUCT, Preference, UsageRule, site_preferences, usage_rule
from workspace.reasons import GIVEN_UP

MAX_BYTES = 500 * 1024
"""The part of a robots.txt that is read (RFC 9309, section 2.5); the rest is ignored."""

_USER_AGENT = re.compile(r"\s*user[- ]?agent\s*[:\s](.*)", re.I)
_SITE_WIDE = re.compile(r"\s*(?:site-?maps?|host)\s*:", re.I)  # lines that belong to no group
# The site itself cannot be reached: its files get the same reason, since they would fail in the same way.
_WHOLE_SITE = frozenset({"unknown_host", "connection", "tls", GIVEN_UP, "stopped"})


@dataclasses.dataclass(frozen=True, slots=True)
class _Rules:
    """What a robots.txt says to us: rules of access (None: there are none), of usage, or why it cannot be read."""

    access: Protego | None = None
    usage: tuple[UsageRule, ...] = ()
    failure: AttemptFailed | None = None


class Robots:
    """Fetch the robots.txt of each host once and check urls against it; safe to use from many threads.

    Args:
        fetch: writes the start of a url's body into a file, or raises AttemptFailed.
        rate_limiter: is told a host's Crawl-delay.
        max_delay_s: the longest Crawl-delay that is obeyed, in seconds.
        recheck_after_s: seconds until rules that could not be read are requested again.
    """

    def __init__(
        self,
        fetch: Callable[[str, BinaryIO], None],
        rate_limiter: RateLimiter,
        *,
        max_delay_s: float,
        recheck_after_s: float,
    ) -> None:
        self._fetch = fetch
        self._rate_limiter = rate_limiter
        self._max_delay_s = max_delay_s
        self._recheck_after_s = recheck_after_s
        self._files = SiteFile(self._read)

    def check(self, url: str) -> None:
        """Check a url against its host's robots.txt.

        Raises:
            AttemptFailed: `robots`: it is disallowed; or `robots_unreachable`: the rules could not be read, so that
                nothing is allowed for now (RFC 9309, section 2.3.1.4).
        """
        rules = self._files.of(url)
        if rules.failure is not None:  # a copy for each url, because the session changes it
            raise dataclasses.replace(rules.failure, retryable=False, blames_host=False, wait_s=None)
        if rules.access is not None and not rules.access.can_fetch(url, PRODUCT):
            raise AttemptFailed("robots", f"{origin(url)}/robots.txt disallows it", retryable=False)

    def preferences(self, url: str) -> list[Preference]:
        """Return what its host's robots.txt says of machine learning with a url; nothing where it cannot be read."""
        return site_preferences(self._files.of(url).usage, path_and_query(url))

    def _read(self, site_origin: str) -> tuple[_Rules, float]:
        body = io.BytesIO()
        try:
            self._fetch(f"{site_origin}/robots.txt", body)
        except AttemptFailed as failure:
            rules = _Rules(failure=_interpret_failure(failure, site_origin))
            if rules.failure is None:
                return rules, NEVER_AGAIN_S
            return rules, self._recheck_after_s if failure.sent else 0.0
        groups = applicable_groups(body.getvalue().decode("utf-8-sig", "replace"))
        access = Protego.parse("\n".join(f"User-agent: {name}\n" + "\n".join(groups[name]) for name in groups if name))
        delay_s = min(access.crawl_delay(PRODUCT) or 0.0, self._max_delay_s)
        self._rate_limiter.slow_down(urlsplit(site_origin).hostname or "", delay_s)
        return _Rules(access, _usage_rules(groups)), NEVER_AGAIN_S


def _interpret_failure(failure: AttemptFailed, site_origin: str) -> AttemptFailed | None:
    """Return the failure of the site's urls after robots.txt could not be fetched; None: they are allowed.

    A 4xx means that there are no rules, and so do endless redirects (RFC 9309, sections 2.3.1.2 and 2.3.1.3). 429 is
    an exception: it means "not now" and says nothing about rules.
    """
    status = failure.http_status or 0
    if failure.reason == "too_many_redirects" or (400 <= status < 500 and status != 429) or status == 204:
        return None
    # The site's own url was checked before, so a bad url came from a redirect.
    redirected = origin(failure.url) != site_origin if failure.url else failure.reason == "bad_url"
    if not redirected and (failure.status == "refused" or failure.reason in _WHOLE_SITE):
        return failure
    return AttemptFailed(
        "robots_unreachable",
        f"{site_origin}/robots.txt could not be read, so nothing is allowed now: {failure.reason}: {failure.detail}",
        retryable=False,
        http_status=failure.http_status,
    )


def applicable_groups(text: str) -> dict[str, list[str]]:
    """Return the lines of the groups for `*` and for our product token, by name; those before any group under "".

    Others are left out before parsing: the parser keeps every rule once per name, so thousands of names before
    thousands of rules would fill the memory. RFC 9309 compares product tokens, so a version after the name is ignored.
    """
    groups: dict[str, list[str]] = {}
    names = {""}
    in_names = False
    for line in text.splitlines():
        if match := _USER_AGENT.match(line):
            if not in_names:
                names, in_names = set(), True
            name = match[1].partition("#")[0].partition("/")[0].strip().lower()
            names |= {name} & {"*", PRODUCT}
        elif line.partition("#")[0].strip() and not _SITE_WIDE.match(line):
            in_names = False
            for name in names:
                groups.setdefault(name, []).append(line)
    return groups


def _usage_rules(groups: Mapping[str, Sequence[str]]) -> tuple[UsageRule, ...]:
    """Return the usage rules of the group that applies to us, and of lines before any group.

    Such lines are no rules of access. A reservation is not lost to that: it can only be meant for everybody.
    """
    lines = [*groups.get("", ()), *groups.get(PRODUCT, groups.get("*", ()))]
    return tuple(rule for line in lines if (rule := usage_rule(line)))
