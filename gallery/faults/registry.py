"""The registry of faults, and the rules of which requests meet which.

A fault takes over one exchange and speaks to the socket itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from gallery.faults import bad_answers as answers
from gallery.faults import bad_transfers as transfers
from gallery.faults.exchange import Exchange

FAULTS: dict[str, Callable[[Exchange], None]] = {
    "hang": transfers.hang,
    "hang_in_body": transfers.hang_in_body,
    "drip": transfers.drip,
    "drip_headers": transfers.drip_headers,
    "reset": transfers.reset,
    "early_close": transfers.early_close,
    "drop": transfers.refuse_connection,
    "drop_once": transfers.refuse_connection,
    "length_too_long": transfers.length_too_long,
    "length_too_short": transfers.length_too_short,
    "length_absurd": transfers.length_absurd,
    "chunked_garbage": transfers.chunked_garbage,
    "chunked_cut": transfers.chunked_cut,
    "gzip_bomb": transfers.gzip_bomb,
    "gzip_garbage": transfers.gzip_garbage,
    "huge_header": transfers.huge_header,
    "many_headers": transfers.many_headers,
    "not_http": transfers.not_http,
    "endless": transfers.endless,
    **{str(code): answers.status(code) for code in (204, 400, 401, 403, 404, 408, 410, 500, 502, 503, 504)},
    "206": answers.partial,
    "429": answers.busy,
    "429_date": answers.busy_until,
    "503_long": answers.busy_for_long,
    "busy_once": answers.busy,
    "500_once": answers.status(500),
    "301_loop": answers.moved_in_circles,
    "moved": answers.moved,
    "moved_endless": transfers.moved_endless,
    "redirect_loop": answers.redirect_loop,
    "redirect_nowhere": answers.redirect_nowhere,
    "redirect_private": answers.redirect_to("http://10.0.0.1/{name}"),
    "redirect_metadata": answers.redirect_to("http://169.254.169.254/latest/{name}"),
    "redirect_file": answers.redirect_to("file:///etc/passwd"),
    "redirect_ftp": answers.redirect_to("ftp://127.0.0.1/{name}"),
    "redirect_user": answers.redirect_to("http://user:secret@127.0.0.1:{port}/images/{name}"),
    "redirect_tls": answers.redirect_to("https://127.0.0.1:{port}/images/{name}"),
    "svg": answers.svg,
    "html": answers.html,
    "text": answers.text,
    "empty": answers.empty,
    "octet_stream": answers.octet_stream,
    "wrong_type": answers.wrong_type,
    "no_type": answers.no_type,
    "cookie": answers.cookie,
    "noai": answers.tagged("noindex, noai"),
    "noai_for_us": answers.tagged("collect-and-train: noimageai"),
    "noai_for_another": answers.tagged("otherbot: noai, noimageai"),
}
ONCE = frozenset({"busy_once", "500_once", "drop_once"})
"""Faults that strike the first request of an address only."""


@dataclass
class Rule:
    """Requests whose path starts with ``path_prefix`` meet the fault ``kind``, ``times`` times more."""

    path_prefix: str
    kind: str
    times: int


class Mischief:
    """Which requests are to fail: the rules given by ``add``, and what ``/fault/KIND/`` has already done once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._struck: set[str] = set()

    def add(self, path_prefix: str, kind: str, times: int) -> None:
        """Let the next ``times`` requests whose path starts with ``path_prefix`` fail.

        Raises:
            ValueError: There is no such fault.
        """
        if kind not in FAULTS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(FAULTS)}")
        with self._lock:
            self._rules.append(Rule(path_prefix, kind, times))

    def take(self, path: str) -> str | None:
        """Return the fault that a rule sets for ``path``, and use that rule up once."""
        with self._lock:
            for rule in self._rules:
                if rule.times > 0 and path.startswith(rule.path_prefix):
                    rule.times -= 1
                    return rule.kind
        return None

    def strikes(self, kind: str, path: str) -> bool:
        """Return whether ``/fault/KIND/NAME`` fails this time: always, but for the faults in ONCE."""
        if kind not in ONCE:
            return True
        with self._lock:
            first = path not in self._struck
            self._struck.add(path)
        return first
