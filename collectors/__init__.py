"""Keywords to files: sources, one polite session, the steps search and download."""
