"""What a database complains of, as one sentence with its remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import sqlalchemy as sa

_DAMAGED = ("malformed", "not a database")
_REPORT = "nothing of it was stored, and trying again will not help: please report this as a fault of the program"
_MAKE_ROOM = "free some space or make the folder writable, then run the same command again"
_MOVED = "it was moved to another place meanwhile: start this command, or the page, again"
_SQLITE_REMEDIES = {
    "no such table": _MOVED,
    "locked": "another program has it open and is writing; wait for it, or end it, then run the same command again",
}
_ONCE_MORE = "then run the same command again"
_SHOWN = 500
_ASKS = " Is the server running on that host and accepting TCP/IP connections?"

# By SQLSTATE, else by its first two characters: PostgreSQL's documentation, appendix A.
_REMEDIES: Mapping[str, str] = {
    "08": f"see that the server runs and can be reached, {_ONCE_MORE}",
    "22": _REPORT,
    "23": _REPORT,
    "25006": "it is a copy that cannot be written; name the server that can",
    "28": "put the right user and password into the address",
    "3D000": "create the database, or correct its name in the address",
    "40": "another process was at the same rows; run the same command again",
    "42501": f"give the user of the address the right to create and to write tables, {_ONCE_MORE}",
    "3F000": "create the schema that the address names in search_path, or give its user the right to use it",
    "42P01": _MOVED,
    "53100": f"free some space on the database's disk, {_ONCE_MORE}",
    "53200": f"the server is out of memory; wait for its other work, {_ONCE_MORE}",
    "53300": f"close other programs that use the server, or raise its max_connections, {_ONCE_MORE}",
    "54000": "a name or an address is longer than an index takes (2,000 bytes); shorten it",
    "55": f"another program is using the tables, such as a page; end it, {_ONCE_MORE}",
    "57": f"the server ended the connection; when it runs again, {_ONCE_MORE.removeprefix('then ')}",
}
# What a server says before it lets anybody in carries no SQLSTATE.
_ON_OPENING = {
    "password": "28",
    'role "': "28",
    "pg_hba.conf": "28",
    'database "': "3D000",
    "too many": "53300",
}
_UNREACHABLE = f"see that the address is right and the server runs and lets this machine in, {_ONCE_MORE}"


def sentence(name: str, context: sa.engine.ExceptionContext) -> str:
    """Write what a database refused, and what to do.

    Args:
        name: of the catalogue; without a password.
        context: SQLAlchemy's, of an error of the driver.
    """
    error = context.original_exception
    text = " ".join(str(error).split()).removesuffix(_ASKS)[:_SHOWN]
    if any(word in text for word in _DAMAGED):
        return f"the catalogue {name} is damaged: {text}; restore it from a copy, or move it away and collect again"
    if isinstance(error, sqlite3.Error):
        return f"the catalogue {name} refused {_what(context)}: {text}; {_sqlite_remedy(error, text)}"
    if context.connection is None:
        return f"cannot open the catalogue {name}: {text}; {_remedy_on_opening(text)}"
    state = getattr(error, "sqlstate", None) or ("08" if _is_lost(context) else "22")  # the driver's own has none
    remedy = _REMEDIES.get(state) or _REMEDIES.get(state[:2]) or _REPORT
    return f"the catalogue {name} refused {_what(context)}: {text}; {remedy}"


def _sqlite_remedy(error: sqlite3.Error, text: str) -> str:
    if not isinstance(error, sqlite3.OperationalError):
        return _REPORT
    return next((remedy for words, remedy in _SQLITE_REMEDIES.items() if words in text), _MAKE_ROOM)


def _remedy_on_opening(text: str) -> str:
    return next((_REMEDIES[state] for words, state in _ON_OPENING.items() if words in text), _UNREACHABLE)


def _is_lost(context: sa.engine.ExceptionContext) -> bool:
    return isinstance(context.sqlalchemy_exception, sa.exc.OperationalError | sa.exc.InterfaceError)


def _what(context: sa.engine.ExceptionContext) -> str:
    return "a read" if (context.statement or "").lstrip().upper().startswith(("SELECT", "PRAGMA")) else "a write"
