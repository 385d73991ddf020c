"""Prefect: flows, tasks, deployments and the local server. The steps themselves know nothing of it."""

from workspace.environment import set_defaults

set_defaults()
