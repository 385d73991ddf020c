"""training.stats."""
