"""The catalogue: tables of searches, hits, downloads, images, verdicts and decisions, and the queries on them.

Folders:
    hits: which hits count today, and which of an image's labels.
"""
