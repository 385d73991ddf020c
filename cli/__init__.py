"""The command line: `collect-and-train`.

Folders:
    commands: one module for each command or for a few that belong together.
    documents: the JSON documents that they answer with, and their keys.
    ending: the ends that a command does not reach by itself: stopped by a signal, or by what nobody foresaw.
"""

from workspace.environment import set_defaults

set_defaults()
