"""Every catalogue from before the revisions, whose `schema_version` is 1, 2 or 3, to the tables of November 2026.

Tables and columns that it lacks are added, with the defaults of that time. The facts of images are emptied where their
columns or formulas differ, and `clean` computes them again. An address of more than 2,000 bytes gets a short form,
since no index of PostgreSQL takes it.
"""

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LAST = 3
_REFUSED_FROM_NOW_ON = 4  # by the programs that know no revisions, which read this number alone
_MEASURES = 1
_MAX_URL_BYTES = 2_000


def _text(name: str, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=False, server_default=None if key else "")


def _number(name: str, default: int = 0) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=str(default))


def _float(name: str, default: float = 0.0) -> sa.Column[float]:
    return sa.Column(name, sa.Float, nullable=False, server_default=str(default))


_COLUMNS: dict[str, list[sa.Column[Any]]] = {
    "searches": [
        *(_text(name, key=True) for name in ("label", "keyword", "source")),
        _text("status"), sa.Column("cursor", sa.Text), _number("found"),
        *map(_text, ("reason", "detail", "asked_at", "scope")),
    ],
    "hits": [
        _text("label", key=True), _text("keyword"), _text("source", key=True), _number("rank"),
        _text("image_url", key=True),
        *map(_text, ("page_url", "title", "creator", "license", "license_url", "attribution")),
        sa.Column("width", sa.Integer), sa.Column("height", sa.Integer), _text("found_at"),
    ],
    "downloads": [
        _text("image_url", key=True), *map(_text, ("status", "reason", "detail")),
        sa.Column("http_status", sa.Integer), _number("bytes"), _text("sha256"), _text("final_url"),
        _number("attempts", 1), _text("fetched_at"), _text("preferences"),
    ],
    "images": [
        *map(_float, ("brightness", "contrast", "entropy", "sharpness", "highlights", "shadows", "background",
                      "two_tone", "text")),
        _text("sha256", key=True), *map(_text, ("error", "detail", "format", "mode")),
        _number("width"), _number("height"), _number("frames", 1), _number("bytes"),
        *map(_text, ("pixel_digest", "phash", "dhash", "phash_mirror", "dhash_mirror", "thumb", "usage_rights",
                     "note")),
    ],
    "verdicts": [
        *(_text(name, key=True) for name in ("sha256", "label", "stage")),
        _text("verdict"), _text("reason"), _float("score", 1.0), _text("group"),
    ],
    "overrides": [_text("sha256", key=True), _text("label", key=True), *map(_text, ("action", "new_label", "made_at"))],
    "clusters": [_text("sha256", key=True), _text("label", key=True), _number("cluster")],
    "withdrawals": [_text("kind", key=True), _text("value", key=True), _text("made_at")],
    "schema_version": [sa.Column("version", sa.Integer, primary_key=True)],
}  # fmt: skip
_TABLES = sa.MetaData()
for _name in _COLUMNS:
    sa.Table(_name, _TABLES, *_COLUMNS[_name])


def upgrade() -> None:
    """Add what is missing, and keep every row that can be kept."""
    connection = op.get_bind()
    version = connection.execute(sa.select(_TABLES.tables["schema_version"])).scalar()
    if version is not None and version > _LAST:
        from workspace.errors import WorkspaceError

        raise WorkspaceError(
            f"the catalogue has version {version}, which this program does not know; use the program's version that "
            "wrote it, or start a new workspace"
        )
    there = {name: _columns_of(connection, name) for name in sa.inspect(connection).get_table_names()}
    # With this index, which an unreleased version made, SQLite joins hits to downloads in quadratic time.
    op.execute("DROP INDEX IF EXISTS downloads_by_file")
    if "images" in there and (there["images"] != _columns("images") or _measured_as(connection, there) != _MEASURES):
        op.drop_table("images")
        del there["images"]
    for name, table in _TABLES.tables.items():
        if name not in there:
            table.create(connection)
        for column in table.columns if name in there else ():
            if column.name not in there[name]:
                op.add_column(name, column._copy())
    _shorten_addresses(connection)
    op.execute("DROP TABLE IF EXISTS measures_version")
    op.execute("DELETE FROM schema_version")
    op.execute(f"INSERT INTO schema_version VALUES ({_REFUSED_FROM_NOW_ON})")


def _columns(name: str) -> set[str]:
    return set(_TABLES.tables[name].columns.keys())


def _columns_of(connection: sa.Connection, name: str) -> set[str]:
    return {str(column["name"]) for column in sa.inspect(connection).get_columns(name)}


def _measured_as(connection: sa.Connection, there: dict[str, set[str]]) -> int:
    if "measures_version" not in there:
        return _MEASURES  # before the version was kept, it was the first
    version: int | None = connection.execute(sa.text("SELECT max(version) FROM measures_version")).scalar()
    return _MEASURES if version is None else version


def _shorten_addresses(connection: sa.Connection) -> None:
    for name in ("hits", "downloads"):
        urls = connection.execute(
            sa.text(f"SELECT DISTINCT image_url FROM {name} WHERE length(CAST(image_url AS BLOB)) > {_MAX_URL_BYTES}")
        ).scalars()
        change = sa.text(f"UPDATE {name} SET image_url = :short WHERE image_url = :url")
        for url in urls.all():
            short = f"long:{hashlib.sha256(url.encode()).hexdigest()}:{url[:200]}"
            connection.execute(change, {"short": short, "url": url})
