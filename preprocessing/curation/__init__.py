"""Outliers, label errors and clusters, from features."""
