"""collectors.sources."""
