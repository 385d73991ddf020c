"""What an address from a stranger may look like, before anything is connected to.

Two readers of one address must not see two hosts in it: what only careless or hostile addresses hold (user names,
backslashes, control characters, percent signs in the host) is refused here, by name. Which machine a host then is,
and whether it may be asked, is decided at the socket (collectors/http/ssrf.py).
"""

from __future__ import annotations

import re
from contextlib import suppress
from urllib.parse import SplitResult, urljoin, urlsplit

from collectors.http.transfer import AttemptFailed

_MAX_URL_LENGTH = 16_384  # characters; servers take 8,000 or so
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# WHATWG "URL", forbidden host code points; the colon and the brackets have their places, which are checked apart.
_NOT_IN_A_HOST = re.compile(r"[\s#/<>?@\\^|%\"`{}\[\]]")
_IPV6 = re.compile(r"\[[0-9a-f:.]+\]", re.I)
# WHATWG "Fetch", port blocking: services that take an HTTP request for something else (mail, SSH, databases, IRC).
# fmt: off
_BLOCKED_PORTS = frozenset((
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
))
# fmt: on
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_url(url: str) -> SplitResult:
    """The parts of an address that may be asked; its host is not empty.

    Raises:
        AttemptFailed: `bad_url`: it is no plain http or https address; says why, without a password that it may hold.
    """
    if len(url) > _MAX_URL_LENGTH:
        raise _bad(f"the address has {len(url)} characters, more than {_MAX_URL_LENGTH}")
    if _CONTROL.search(url):
        raise _bad("the address holds control characters or line breaks")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _bad(f"it is no address: {_without_quotes(error)}") from None
    if parts.scheme not in _DEFAULT_PORTS or not host:
        shown = url[:100] if "@" not in url else f"{parts.scheme}:…"
        raise _bad(f"{shown!r} is not an http or https address")
    if "@" in parts.netloc:
        raise _bad("the address carries a user name or password")
    name = re.sub(r":\d*$", "", parts.netloc)
    if _NOT_IN_A_HOST.search(name) and not _IPV6.fullmatch(name):
        raise _bad(f"the host {name[:100]!r} holds characters that no host has")
    if port in _BLOCKED_PORTS:
        raise _bad(f"port {port} belongs to another service than the web")
    return parts


def redirect_target(here: str, location: str) -> str:
    """Where a redirect from `here` leads, by its Location header as it came (RFC 9110 allows a relative one).

    Raises:
        AttemptFailed: `bad_url`: it leads nowhere that could be read.
    """
    with suppress(UnicodeError):
        location = location.encode("latin-1").decode("utf-8")  # headers are read as Latin-1; many servers send UTF-8
    try:
        return urljoin(here, location)
    except ValueError as error:
        raise _bad(f"it redirects to what is no address: {_without_quotes(error)}") from None


def origin(url: str) -> str:
    """Scheme, host and port as one text, `https://example.org:443`; of an address that was checked."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{host_port(url)}"


def host_port(url: str) -> str:
    """Host and port as one text, `example.org:443`; of an address that was checked."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"


def _without_quotes(error: ValueError) -> str:
    """The first words of an error, since what it quotes may hold a password."""
    return str(error).partition("'")[0].strip(" :")


def _bad(detail: str) -> AttemptFailed:
    return AttemptFailed("bad_url", detail, retryable=False)
