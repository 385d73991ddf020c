"""workspace.catalog."""
