"""cli.commands.models."""
