"""collectors.sources.apis."""
