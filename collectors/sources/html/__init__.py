"""collectors.sources.html."""
