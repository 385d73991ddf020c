"""The address of a catalogue on PostgreSQL: the url in an environment variable, which may hold a password."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass

import sqlalchemy as sa

from workspace.errors import WorkspaceError, needed_extra

_DRIVER = "postgresql+psycopg"
_SHAPE = "postgresql://USER:PASSWORD@HOST/DATABASE"
_ACCEPTED = ("postgresql", "postgres", _DRIVER)


@dataclass(frozen=True, slots=True)
class Address:
    """A database on PostgreSQL; as a text it shows neither the password nor the parameters, which may hold one.

    Attributes:
        url: for SQLAlchemy, with the driver psycopg.
        variable: the environment variable that it stands in, for messages; empty: it does not.
    """

    url: sa.URL
    variable: str = ""

    def __str__(self) -> str:
        shown = self.url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)
        return f"{shown} ({self.variable})" if self.variable else shown

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


def address_in(variable: str) -> Address:
    """Read the address in an environment variable; a plain `postgresql://` means the driver psycopg 3.

    Raises:
        WorkspaceError: it is not set, holds no url of PostgreSQL, or the driver is not installed.
    """
    text = os.environ.get(variable, "").strip()
    if not text:
        raise WorkspaceError(
            f"storage.catalog names the environment variable {variable}, which is not set; set it to the address of "
            f"the database: export {variable}={_SHAPE}"
        )
    return parse_address(text, variable)


def parse_address(text: str, variable: str = "") -> Address:
    """Parse a url of PostgreSQL; no message shows it.

    Raises:
        WorkspaceError: it is no such url, or the driver is not installed.
    """
    where = f"the environment variable {variable}" if variable else "the url of the catalogue"
    try:
        url = sa.make_url(text)
        _ = url.port
    except (sa.exc.ArgumentError, ValueError):
        raise WorkspaceError(f"{where} holds no url; write it as {_SHAPE}") from None
    if url.drivername not in _ACCEPTED:
        raise WorkspaceError(
            f"{where} holds a url of {url.drivername[:40]!r}; a catalogue outside of the workspace is on PostgreSQL: "
            f"{_SHAPE}"
        )
    if text.partition("?")[0].count("@") > 1:  # the rest of a password would be taken for the host, and shown
        raise WorkspaceError(
            f"{where} has more than one @; write the signs @ : / ? # % of a user name or password as %40 %3A %2F %3F "
            "%23 %25"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise WorkspaceError(needed_extra("postgres", "a catalogue on PostgreSQL", "the driver psycopg"))
    return Address(url.set(drivername=_DRIVER), variable)
