"""Prefect flows and the command line: orchestration and nothing else."""
