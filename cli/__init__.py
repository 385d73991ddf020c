"""The command line: `collect-and-train`.

Folders:
    commands: one module for each command or for a few that belong together.
"""

from workspace.environment import set_defaults

set_defaults()
