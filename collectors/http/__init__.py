"""The HTTP session of a run: identification, rate limits, retries, size limits, address policy, recording."""
