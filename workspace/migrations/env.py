"""Alembic's environment: the connection that workspace/database/migrate.py hands over, and its transaction."""

from alembic import context

_CONNECTION = context.config.attributes["connection"]
context.configure(
    connection=_CONNECTION,
    render_as_batch=_CONNECTION.dialect.name == "sqlite",  # which changes no column in place
    transactional_ddl=True,  # also SQLite, since the transaction was begun by hand
)
with context.begin_transaction():
    context.run_migrations()
