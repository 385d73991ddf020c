"""Where the catalogue of a workspace is: catalog.sqlite, or a database on PostgreSQL that belongs to this workspace.

A database belongs to the workspace whose id it holds; the file catalog.json in the folder has the same id, and says
where the rows are. So neither a setting that was changed by hand nor a wrong address opens an empty catalogue, or that
of another workspace.
"""

from __future__ import annotations

import functools
import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workspace.errors import WorkspaceError
from workspace.files.atomic import write_json
from workspace.storage.paths import Workspace

if TYPE_CHECKING:  # SQLAlchemy is loaded where a catalogue is opened: a command on files alone need not wait for it
    import sqlalchemy as sa

    from workspace.catalog.catalog import Catalog
    from workspace.database.address import Address
    from workspace.database.engine import Database
    from workspace.database.shared import AdvisoryLock, Occupant

SQLITE = "sqlite"
"""What takes the place of a variable's name for `move`, for catalog.sqlite."""


@dataclass(frozen=True, slots=True)
class Note:
    """The file catalog.json, of a workspace that has a database, or had one.

    Attributes:
        id: of the workspace; its database holds the same.
        catalog: where the rows are: the variable with the database's address, empty for catalog.sqlite, or None in a
            new workspace that is about to take a database for its own.
    """

    id: str
    catalog: str | None


def catalog_address(workspace: Workspace) -> Address | None:
    """Return the address of the workspace's database; None: its catalogue is catalog.sqlite.

    Raises:
        ConfigError: workspace.toml cannot be read.
        WorkspaceError: the rows are not where workspace.toml says, or the address cannot be used.
    """
    variable, rows = workspace.storage.catalog, where_rows_are(workspace)
    if rows not in (None, variable) and not workspace.move_file.exists():  # while moving, workspace.toml knows
        place = f"the database that {rows} names" if rows else str(workspace.catalog_file)
        raise WorkspaceError(
            f"workspace.toml has storage.catalog = {json.dumps(variable)}, but the rows are in {place}; write "
            f"{json.dumps(rows)} again; to take them along, then: {workspace.command('move')} --catalog "
            f"{variable or SQLITE}"
        )
    if not variable:
        return None
    from workspace.database.address import address_in

    return address_in(variable)


def where_rows_are(workspace: Workspace) -> str | None:
    """Return what storage.catalog was when rows were last written; None: there are none yet."""
    note = read_note(workspace)
    if note is not None and note.catalog is not None:
        return note.catalog
    return "" if workspace.catalog_file.is_file() else None


def open_catalog(workspace: Workspace) -> Catalog:
    """Open the catalogue where workspace.toml says that it is; a new database becomes this workspace's own.

    Raises:
        ConfigError: workspace.toml cannot be read.
        WorkspaceError: it cannot be opened, was written by a later version, or belongs to another workspace.
    """
    from workspace.catalog.catalog import Catalog

    address = catalog_address(workspace)
    if address is None:
        return Catalog(workspace.catalog_file)
    catalog = Catalog(address)
    try:
        with catalog.engine.begin() as connection:
            _require_own(workspace, connection, address)
    except BaseException:
        catalog.close()
        raise
    if where_rows_are(workspace) is None:
        write_note(workspace, address.variable)
    return catalog


def has_catalog(workspace: Workspace) -> bool:
    """Return whether anything was collected yet."""
    return where_rows_are(workspace) is not None


def catalog_stamp(workspace: Workspace) -> tuple[float, ...]:
    """Return a value that changes with every write to the catalogue, whichever process writes.

    Raises:
        WorkspaceError: the database cannot be reached.
    """
    address = catalog_address(workspace)
    if address is None:
        file = workspace.catalog_file
        return tuple(_modified(part) for part in (file, file.with_name(f"{file.name}-wal")))
    from workspace.database.shared import changes

    with _kept_database(address).engine.connect() as connection:
        return changes(connection)


@functools.cache
def _kept_database(address: Address) -> Database:
    """Keep the connection of a page, which asks with every click whether something has changed."""
    from workspace.database.engine import Database

    return Database(address)


def database_lock(workspace: Workspace) -> AdvisoryLock | None:
    """Return the lock in the workspace's database; None: its catalogue is catalog.sqlite, and the lock a file.

    Raises:
        ConfigError: workspace.toml cannot be read.
        WorkspaceError: the database cannot be used, or belongs to another workspace.
    """
    address = catalog_address(workspace)
    if address is None:
        return None
    from workspace.database.shared import AdvisoryLock

    open_catalog(workspace).close()  # makes the tables of a new database, and sees whose it is
    return AdvisoryLock(address, workspace_id(workspace))


def workspace_id(workspace: Workspace) -> str:
    """Return the id of the workspace, under which its database holds it.

    Raises:
        WorkspaceError: it has none, since it never had a database.
    """
    note = read_note(workspace)
    if note is None:
        raise WorkspaceError(f"{workspace.catalog_note} is missing; it tells whose database it is: put it back")
    return note.id


def claim(workspace: Workspace, connection: sa.Connection, address: Address) -> None:
    """Make an empty database this workspace's own; the note is written first, so that a kill leaves no stranger's.

    Raises:
        WorkspaceError: it belongs to another workspace.
    """
    from workspace.database.shared import Occupant, occupant, occupy

    if read_note(workspace) is None:
        write_note(workspace, where_rows_are(workspace))
    own = workspace_id(workspace)
    occupy(connection, Occupant(own, str(workspace.root.resolve())))
    owner = occupant(connection)
    if owner is None or owner.id != own:
        raise WorkspaceError(_not_ours(workspace, address, owner.folder if owner else "?"))


def read_note(workspace: Workspace) -> Note | None:
    """Read catalog.json; None where there is none.

    Raises:
        WorkspaceError: it cannot be read.
    """
    file = workspace.catalog_note
    try:
        return Note(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise WorkspaceError(
            f"{file} cannot be read: {error}; it tells whose database it is: put it back from a copy"
        ) from error


def write_note(workspace: Workspace, catalog: str | None) -> None:
    """Write where the rows are; a workspace without an id gets one."""
    note = read_note(workspace)
    write_json(workspace.catalog_note, asdict(Note(note.id if note else uuid.uuid4().hex, catalog)))


def require_unclaimed(workspace: Workspace, connection: sa.Connection, address: Address) -> Occupant | None:
    """Return the owner of a database: this workspace, or None for nobody.

    Raises:
        WorkspaceError: it belongs to another workspace.
    """
    from workspace.database.shared import occupant

    owner, note = occupant(connection), read_note(workspace)
    if owner is not None and (note is None or note.id != owner.id):
        raise WorkspaceError(_not_ours(workspace, address, owner.folder))
    return owner


def _require_own(workspace: Workspace, connection: sa.Connection, address: Address) -> None:
    owner = require_unclaimed(workspace, connection, address)
    if owner is None and where_rows_are(workspace) is not None:
        raise WorkspaceError(
            f"the database {address} is empty, though the catalogue of {workspace.root} was moved to one; correct the "
            "address, or restore the database from a copy"
        )
    if owner is None:
        claim(workspace, connection, address)


def _not_ours(workspace: Workspace, address: Address, folder: str) -> str:
    return (
        f"the database {address} holds the catalogue of another workspace, {folder}; give {workspace.root} a database "
        "of its own (createdb NAME), or a schema (?options=-csearch_path%3DNAME at the end of the address). If it is "
        f"the same workspace, copy its {workspace.catalog_note.name} here"
    )


def _modified(file: Path) -> float:
    return file.stat().st_mtime if file.exists() else 0.0
