"""Collect images: the steps search and download, the inbox, and later refreshes and retries.

Folders:
    http: the HTTP session: rate limits, circuit breaker, address policy, robots.txt, recording.
    sources: the search services and local sources, one file each.
"""
