"""Prefect's server: checked before a flow, or started and ended with it; what is registered with one."""
