"""Prefect: flows, tasks, deployments and the local server. The steps themselves know nothing of it.

Folders:
    cluster: shards of a step on several machines.
    service: flows that look after `serve --api`: drift.
    timing: how long steps will take.
    server: the server of flows that run in a command's own process, `up`, and the processes that it supervises.
"""

from workspace.environment import set_defaults

set_defaults()
