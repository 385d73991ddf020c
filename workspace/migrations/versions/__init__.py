"""The revisions of the catalogue's tables, each of which names the one before it."""
