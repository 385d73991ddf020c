"""The commands of `collect-and-train`, one small module per matter; cli/main.py puts them in order."""
