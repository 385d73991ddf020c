"""cli.commands.images."""
