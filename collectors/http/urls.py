"""Validate untrusted urls before anything is connected to.

Two parsers must not see two hosts in one url: what only careless or hostile urls hold (user names, backslashes,
control characters, percent signs in the host) is refused here, each with its own message. Which address a host has,
and whether it may be connected to, is decided at the socket (collectors/http/ssrf.py).
"""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import SplitResult, urljoin, urlsplit

from collectors.http.transfer import AttemptFailed

_MAX_URL_LENGTH = 16_384  # characters; servers take 8,000 or so
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# WHATWG "URL", forbidden host code points; colons and brackets are checked separately.
_NOT_IN_A_HOST = re.compile(r"[\s#/<>?@\\^|%\"`{}\[\]]")
_IPV6 = re.compile(r"\[[0-9a-f:.]+\]", re.I)
# WHATWG "Fetch", port blocking: services that misread an HTTP request (mail, SSH, databases, IRC).
# fmt: off
_BLOCKED_PORTS = frozenset((
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
))
# fmt: on
# The commonest below the domain of a country, as in zoo.co.uk.
_SECOND_LEVELS = frozenset(("ac", "co", "com", "edu", "go", "gov", "mil", "ne", "net", "or", "org"))
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_url(url: str) -> SplitResult:
    """Split a url that may be requested into its parts; the host is not empty.

    >>> parse_url("https://zoo.example/red-panda.jpg").hostname
    'zoo.example'

    Raises:
        AttemptFailed: `bad_url`: it is not a plain http or https url; the text shows no password that it may hold.
    """
    if len(url) > _MAX_URL_LENGTH:
        raise _bad(f"the url has {len(url)} characters, more than {_MAX_URL_LENGTH}")
    if _CONTROL.search(url):
        raise _bad("the url holds control characters or line breaks")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _bad(f"it is not a url: {_without_quotes(error)}") from None
    if parts.scheme not in _DEFAULT_PORTS or not host:
        shown = url[:100] if "@" not in url else f"{parts.scheme}:…"
        raise _bad(f"{shown!r} is not an http or https url")
    if "@" in parts.netloc:
        raise _bad("the url holds a user name or password")
    name = re.sub(r":\d*$", "", parts.netloc)
    if _NOT_IN_A_HOST.search(name) and not _IPV6.fullmatch(name):
        raise _bad(f"the host {name[:100]!r} holds characters that no host name has")
    if port in _BLOCKED_PORTS:
        raise _bad(f"port {port} is reserved for a service other than the web")
    return parts


def redirect_target(url: str, location: str) -> str:
    """Resolve the Location header of a redirect from `url` (RFC 9110 allows a relative one).

    Raises:
        AttemptFailed: `bad_url`: the header is not a url.
    """
    with suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")  # headers are read as Latin-1; many servers send UTF-8
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise _bad(f"it redirects to an invalid url: {_without_quotes(error)}") from None


def origin(url: str) -> str:
    """Return scheme, host and port as `https://example.org:443`; for a url that parse_url accepts."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{host_port(url)}"


def host_port(url: str) -> str:
    """Return host and port as `example.org:443`; for a url that parse_url accepts."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"


def site_of(url: str) -> str:
    """Return the registered domain of a url's host: the part that one owner has; an address is itself.

    By a rule of thumb, not by the list of public suffixes: two labels, or three below such as co.uk. Where it takes two
    owners for one, their hosts are only asked by one process.

    Example:
        >>> site_of("https://live.staticflickr.com/1.jpg"), site_of("http://a.zoo.co.uk/"), site_of("http://10.0.0.7:80/")
        ('staticflickr.com', 'zoo.co.uk', '10.0.0.7')
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""
    labels = host.split(".")
    if ":" in host or labels[-1].isdigit():
        return host
    has_suffix = len(labels[-1]) == 2 and labels[-2:-1] and labels[-2] in _SECOND_LEVELS
    return ".".join(labels[-3 if has_suffix else -2 :])


def path_and_query(url: str) -> str:
    """Return path and query as `/a.jpg?size=2`; for a url that parse_url accepts."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _without_quotes(error: ValueError) -> str:
    """Return the text of an error up to its first quote, since what it quotes may hold a password."""
    return str(error).partition("'")[0].strip(" :")


def _bad(detail: str) -> AttemptFailed:
    return AttemptFailed("bad_url", detail, retryable=False)
