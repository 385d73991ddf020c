"""benchmarks.support."""
