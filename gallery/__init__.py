"""A small image-search site on loopback, for the demo, the tests and the benchmarks; it knows nothing of the rest."""
