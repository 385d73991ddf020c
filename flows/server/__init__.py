"""Prefect's server: checked before a flow, or started and ended with it; its processes, and what is registered."""
