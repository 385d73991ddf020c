"""Moving a workspace's parts to another place and back: copy, compare, switch the setting, clear the old place."""
