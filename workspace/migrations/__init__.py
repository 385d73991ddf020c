"""Migrations of the catalogue's tables, one module per revision, run by Alembic (workspace/database/migrate.py).

A change of the tables in workspace/catalog is a new module in versions/, which says how rows of the former shape become
rows of the new one, and a new HEAD. No released module is changed, and none imports the tables, which go on changing.

Folders:
    versions: the revisions.
"""

from pathlib import Path

HEAD = "0002"
"""The latest revision."""

FOLDER = Path(__file__).parent
"""Where Alembic finds them."""
