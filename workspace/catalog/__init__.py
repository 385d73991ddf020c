"""The catalogue: tables of searches, hits, downloads, images, verdicts and decisions, and the queries on them."""
