"""preprocessing.dataset."""
