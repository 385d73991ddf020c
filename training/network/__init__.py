"""training.network."""
