"""Sources without an API: web pages that are parsed as HTML."""
