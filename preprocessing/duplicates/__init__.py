"""preprocessing.duplicates."""
