"""training.fit."""
