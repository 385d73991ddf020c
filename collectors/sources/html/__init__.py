"""Sources whose pages are read as HTML."""
