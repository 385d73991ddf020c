"""workspace.storage."""
