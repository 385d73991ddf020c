"""Held-out answers, and what is measured of a model."""
