"""Loaded before every test: the environment's defaults are those that the command line sets."""

import flows  # noqa: F401, I001  (sets them, before torch and Prefect are loaded)
import prefect  # noqa: F401  (runs its plugin hooks now: it cannot inside the event loop that a browser test keeps open)
