"""Obey robots.txt, and the `noai` and `noimageai` opt-outs of pages and files.

robots.txt applies to what is crawled: pages that are read for their images, and every downloaded file. An official
API is used by its own terms instead (keys, rate limits), because it is made for programs, and the robots.txt of such
hosts commonly forbids the API's own paths to search engines.
"""

from __future__ import annotations

import dataclasses
import io
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import BinaryIO
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from protego import Protego

from collectors.http.rate_limit import RateLimiter
from collectors.http.transfer import AttemptFailed
from collectors.http.urls import origin
from workspace.reasons import GIVEN_UP

PRODUCT = "collect-and-train"
"""The product token of our user agent, which robots.txt and X-Robots-Tag may name (RFC 9309, section 2.2.1)."""

MAX_BYTES = 500 * 1024
"""The part of a robots.txt that is read (RFC 9309, section 2.5); the rest is ignored."""

_OPT_OUTS = frozenset({"noai", "noimageai"})
_USER_AGENT = re.compile(r"\s*user[- ]?agent\s*[:\s](.*)", re.I)
_SITE_WIDE = re.compile(r"\s*(?:site-?maps?|host)\s*:", re.I)  # lines that belong to no group
_META = re.compile(rb"<meta\b[^<>]*>", re.I)
_HOSTS_KEPT = 512  # rules in memory; a large robots.txt takes megabytes when it is parsed
# Directives of X-Robots-Tag that have a value, whose colon does not follow the name of a robot.
_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_NEVER = float("inf")
# The site itself cannot be reached: its files get the same reason, since they would fail in the same way.
_WHOLE_SITE = frozenset({"unknown_host", "connection", "tls", GIVEN_UP, "stopped"})


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
        self._lock = threading.Lock()
        self._sites: OrderedDict[str, _Site] = OrderedDict()

    def check(self, url: str) -> None:
        """Check a url against its host's robots.txt.

        Raises:
            AttemptFailed: `robots`: it is disallowed; or `robots_unreachable`: the rules could not be read, so that
                nothing is allowed for now (RFC 9309, section 2.3.1.4).
        """
        site_origin = origin(url)
        with self._lock:
            site = self._sites.setdefault(site_origin, _Site())
            self._sites.move_to_end(site_origin)
            if len(self._sites) > _HOSTS_KEPT:
                self._sites.popitem(last=False)
        with site.lock:
            if time.monotonic() >= site.next_read_at:
                self._read_rules(site, site_origin)
            failure = site.failure
        if failure is not None:  # a copy for each url, because the session changes it
            raise dataclasses.replace(failure, retryable=False, blames_host=False, wait_s=None)
        if site.rules is not None and not site.rules.can_fetch(url, PRODUCT):
            raise AttemptFailed("robots", f"{site_origin}/robots.txt disallows it", retryable=False)

    def _read_rules(self, site: _Site, site_origin: str) -> None:
        body = io.BytesIO()
        try:
            self._fetch(f"{site_origin}/robots.txt", body)
        except AttemptFailed as failure:
            site.failure = _interpret_failure(failure, site_origin)
            if failure.sent and site.failure is not None:
                site.next_read_at = time.monotonic() + self._recheck_after_s
                return
            site.next_read_at = _NEVER if site.failure is None else 0.0
        else:
            site.rules = Protego.parse(applicable_rules(body.getvalue().decode("utf-8-sig", "replace")))
            site.failure, site.next_read_at = None, _NEVER
            delay_s = min(site.rules.crawl_delay(PRODUCT) or 0.0, self._max_delay_s)
            self._rate_limiter.slow_down(urlsplit(site_origin).hostname or "", delay_s)


class _Site:
    """One host's rules; `next_read_at` is when robots.txt is due to be read (again), by time.monotonic."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.next_read_at = 0.0
        self.rules: Protego | None = None
        self.failure: AttemptFailed | None = None


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


def applicable_rules(text: str) -> str:
    """Reduce a robots.txt to the groups for our product token or for `*`.

    The parser keeps every rule once per name, so thousands of names before thousands of rules would fill the memory;
    and RFC 9309 compares product tokens, so a version after the name is ignored.
    """
    kept: list[str] = []
    names: dict[str, None] = {}
    in_names = False
    for line in text.splitlines():
        if match := _USER_AGENT.match(line):
            if not in_names:
                names, in_names = {}, True
            name = match[1].partition("#")[0].partition("/")[0].strip().lower()
            if name in {"*", PRODUCT}:
                names[name] = None
        elif line.partition("#")[0].strip() and not _SITE_WIDE.match(line):
            if in_names:
                kept += [f"User-agent: {name}" for name in names]
                in_names = False
            if names:
                kept.append(line)
    return "\n".join(kept)


def header_opt_out(values: Iterable[str]) -> str | None:
    """Return the opt-out in the X-Robots-Tag headers of a response, for every robot or for ours, or None.

    Args:
        values: one text per header: a robot's name at its start holds to its end, and not for the next header.
    """
    for value in values:
        robot = ""
        for part in value.split(","):
            name, colon, rest = part.partition(":")
            if colon and name.strip().lower() not in _WITH_VALUE:
                robot, part = name.strip().lower(), rest
            if part.strip().lower() in _OPT_OUTS and robot in {"", "*", PRODUCT}:
                return part.strip().lower()
    return None


def page_opt_out(html: bytes) -> str | None:
    """Return the opt-out in a page's `<meta name="robots">` (or named as our product token), or None."""
    tags = b"".join(_META.findall(html.replace(b"\0", b"")))  # without NUL, UTF-16 is read too
    if b"ai" not in tags.lower():
        return None  # most pages
    names = re.compile(rf"^\s*(?:robots|{PRODUCT})\s*$", re.I)
    for tag in BeautifulSoup(tags, "html.parser").find_all("meta", attrs={"name": names}):
        for word in str(tag.get("content") or "").split(","):
            if word.strip().lower() in _OPT_OUTS:
                return word.strip().lower()
    return None
