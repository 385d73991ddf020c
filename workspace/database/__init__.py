"""The database below the catalogue: SQLite or PostgreSQL, its errors in words, its schema, its locks."""
