"""training.inference."""
