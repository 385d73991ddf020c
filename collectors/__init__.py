"""Keywords to files: the steps search and download, and what brings new images later.

Folders:
    http: one polite session: rate limits, circuit breaker, address checks, robots.txt, recording.
    sources: what answers a keyword with images, one file per source.
"""
