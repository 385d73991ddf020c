"""Loaded before every test: the environment's defaults are those that the command line sets."""

import flows  # noqa: F401  (sets them, before torch is loaded)
