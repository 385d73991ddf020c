"""collectors.sources.local."""
