"""Tables of narrow rows in the order of their keys, and indexes for the queries that read every row.

On SQLite only are tables stored by their key (WITHOUT ROWID), which every join then finds in one search instead of two.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BY_KEY = {
    "searches": "label, keyword, source",
    "downloads": "image_url",
    "verdicts": "sha256, label, stage",
    "overrides": "sha256, label",
    "clusters": "sha256, label",
    "withdrawals": "kind, value",
}
_INDEXES = {
    "hits_by_url": ("hits", ["image_url", "label", "source", "rank"]),
    "downloads_by_sha256": ("downloads", ["sha256", "status"]),
    "images_by_error": ("images", ["error", "sha256", "width", "height", "note"]),
}


def upgrade() -> None:
    """Keep every row."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for name, key in _BY_KEY.items():
            layout = sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = :name")
            made = str(connection.execute(layout, {"name": name}).scalar_one())
            if "WITHOUT ROWID" in made:
                continue
            op.rename_table(name, f"{name}_before")
            op.execute(f"{made} WITHOUT ROWID")
            op.execute(f"INSERT INTO {name} SELECT * FROM {name}_before ORDER BY {key}")
            op.drop_table(f"{name}_before")
    for name, (table, columns) in _INDEXES.items():
        op.create_index(name, table, columns, if_not_exists=True)
