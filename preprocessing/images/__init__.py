"""preprocessing.images."""
