"""The command line: `collect-and-train`.

Folders:
    commands: one module per command; those on images and on models in folders of their own.
"""

from workspace.environment import set_defaults

set_defaults()
