"""workspace.config."""
