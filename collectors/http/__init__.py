"""One HTTP session for a whole run: identification, rate limits, retries, size limits, address checks, recording."""
