"""Prefect CLI plugin: completes a bare flow name in `prefect deployment run collect-and-train`.

Prefect wants FLOW/DEPLOYMENT. Its plugins run before it reads its arguments (entry point group `prefect.plugins`,
switched on in pyproject.toml), so that a bare name can be completed when exactly one deployment has a flow of that
name. In every other case the arguments stay as they are, and so does what Prefect says of them.

Where no server's address is set, Prefect's command is given that of a running `collect-and-train up`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from prefect.plugins import HookContext, SetupResult, register_hook

from flows.server.client import connected

NOTE = "collect-and-train-up.json"
"""In Prefect's home: the address of the API that `collect-and-train up` serves, its process and when that started."""

# A server that answers 503 at once is asked three times within 6 s. One whose SQLite is locked may hold a request for
# 60 s: three times 15 s outlast most locks, and where they do not, Prefect's own command would wait as long. The 20 s
# that Prefect gives its plugins do not interrupt this one, and what it finds later still counts.
_TIMEOUT_S = 15.0
_RETRIES = 2
_SAME_START_S = 2.0
_FLAGS = {"--watch", "--no-watch", "--help", "-h"}  # options of `deployment run` that take no value


@register_hook
def setup_environment(*, ctx: HookContext) -> SetupResult | None:
    """Complete the deployment's name in sys.argv where exactly one fits; set the API URL of a running `up`."""
    if not _is_prefect():
        return None
    api_url = ctx.api_url or _running_server()
    position = bare_name(sys.argv)
    if api_url and position is not None:
        names = _deployments_of(api_url, sys.argv[position])
        if len(names) == 1:
            sys.argv[position] = f"{sys.argv[position]}/{names[0]}"
    if ctx.api_url or not api_url:
        return None
    return SetupResult(env={"PREFECT_API_URL": api_url}, note=f"the server of `collect-and-train up`: {api_url}")


def bare_name(words: list[str]) -> int | None:
    """Find the index of NAME in `prefect … deployment run NAME …` when it has no slash, else None."""
    for start in range(1, len(words) - 2):
        if words[start : start + 2] == ["deployment", "run"]:
            position = start + 2
            while position < len(words) and words[position].startswith("-"):
                takes_value = words[position] not in _FLAGS and "=" not in words[position]
                position += 2 if takes_value else 1
            return position if position < len(words) and "/" not in words[position] else None
    return None


def _is_prefect() -> bool:
    return Path(sys.argv[0]).stem == "prefect" or sys.orig_argv[1:3] == ["-m", "prefect"]


def _running_server() -> str | None:
    """Return the API URL of a running `collect-and-train up`, else None."""
    import psutil
    from prefect.settings import get_current_settings

    try:
        note = json.loads((Path(get_current_settings().home) / NOTE).read_text(encoding="utf-8"))
        started = psutil.Process(int(note["pid"])).create_time()  # after a restart another program may have its number
        return str(note["api_url"]) if abs(started - float(note["started"])) < _SAME_START_S else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def _deployments_of(api_url: str, flow_name: str) -> list[str]:
    """List the deployments of flows of this name, two at most; none when the server does not answer as expected."""
    import httpx

    question = {"flows": {"name": {"any_": [flow_name]}}, "limit": 2}
    try:
        with connected(api_url, timeout_s=_TIMEOUT_S, retries=_RETRIES) as client:
            answer = client.request("POST", "/deployments/filter", json=question)
        return [str(deployment["name"]) for deployment in answer.json()]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return []  # Prefect will say what is wrong with its server
