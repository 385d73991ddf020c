"""Recognise urls of the same image: the canonical form of a url, and the sizes that image hosts document."""

from __future__ import annotations

import hashlib
import re

from collectors.sources.registry import SOURCES

# A url that two parsers may read differently stays unchanged: http/urls.py refuses it when it is fetched.
_PLAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?(?:[/?#][!-~\u00a0-\U0010ffff]*)?", re.I)
_DEFAULT_PORT = {"http": ":80", "https": ":443"}

MAX_URL_BYTES = 2_000
"""Longest URL that is a key of the catalogue: with the class's name it must fit into an index of PostgreSQL."""

_LONG = "long:"


def canonical_url(url: str) -> str:
    """Return the canonical form of an http url: no fragment, default port or `utm_…`, scheme and host in lower case.

    Everything else stays unchanged: order, escapes and unknown parameters may matter to the server, or be signed.
    Other schemes and malformed urls are returned as they are. One of more than MAX_URL_BYTES becomes `long:`, its
    sha256 and its beginning, which nobody fetches.

    >>> canonical_url("HTTPS://Zoo.example:443/Panda.jpg?w=640&utm_source=feed#top")
    'https://zoo.example/Panda.jpg?w=640'
    """
    canonical = _canonical(url)
    data = canonical.encode("utf-8", "surrogatepass")
    if len(data) <= MAX_URL_BYTES:
        return canonical
    return f"{_LONG}{hashlib.sha256(data).hexdigest()}:{canonical[:200]}"


def is_too_long(url: str) -> bool:
    """Return whether a canonical URL stands for one that is too long to be kept."""
    return url.startswith(_LONG)


def _canonical(url: str) -> str:
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
    """Return a key that the urls of one image in several sizes share; the url itself where the sizes are not known.

    >>> image_key("https://live.staticflickr.com/7872/404_4fe2_b.jpg")
    'flickr:404'
    """
    for info in SOURCES.values():
        if info.image_urls and (match := info.image_urls.fullmatch(url)):
            return f"{info.name}:{match[1]}"
    return url
