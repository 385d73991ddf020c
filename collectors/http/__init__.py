"""The HTTP session of a run: identification, rate limits, retries, size limits, address policy, recording.

Folders:
    hosts: what is kept of each host: pauses, failures, and which session asks it.
"""
