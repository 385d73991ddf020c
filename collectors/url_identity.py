"""When two addresses lead to one picture: their one spelling, and the sizes of services that document theirs."""

from __future__ import annotations

import re

from collectors.sources.registry import SOURCES

# What a careful reader and a careless one may read differently is left as it is: whoever fetches it will judge it.
_PLAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?(?:[/?#][!-~\u00a0-\U0010ffff]*)?", re.I)
_DEFAULT_PORT = {"http": ":80", "https": ":443"}


def canonical_url(url: str) -> str:
    """The one spelling of an http address: no fragment, default port or `utm_…`, scheme and host in lower case.

    Everything else stays to the letter: order, escapes and unknown parameters may matter to the server, or be signed.
    Addresses of other kinds, and odd ones, stay as they are.
    """
    if not _PLAIN.fullmatch(url):
        return url
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    rest = rest.partition("#")[0]
    host = re.split(r"[/?]", rest, maxsplit=1)[0]
    path, mark, query = rest[len(host) :].partition("?")
    kept = [part for part in query.split("&") if not part.lower().startswith("utm_")]
    query = "&".join(kept)
    mark = mark if query or not mark or "utm_" not in rest.lower() else ""
    return f"{scheme}://{host.lower().removesuffix(_DEFAULT_PORT[scheme])}{path or '/'}{mark}{query}"


def image_key(url: str) -> str:
    """What two addresses have in common when they lead to the same picture in two sizes; else the address itself."""
    for info in SOURCES.values():
        if info.image_urls and (match := info.image_urls.fullmatch(url)):
            return f"{info.name}:{match[1]}"
    return url
