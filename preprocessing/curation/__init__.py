"""preprocessing.curation."""
