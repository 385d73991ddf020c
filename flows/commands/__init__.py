"""The commands of `collect-and-train`, one small module per matter; flows/cli.py puts them in order."""
