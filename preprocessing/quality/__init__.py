"""preprocessing.quality."""
