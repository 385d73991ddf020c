"""The Prefect server of flows that run in a command's own process: checked first, or started and ended with it."""
