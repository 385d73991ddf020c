"""Try the deployments, their recipes and the completion of a bare name against versions of Prefect.

    python -m benchmarks.prefect_versions 3.9.1 3.9.2 … [--folder /tmp/prefect-versions]

Each version is installed by itself (--no-deps) in front of the packages of this environment. Then
tests/flows/test_plugin.py and tests/flows/test_deployments.py run with it; and a server of that version is started,
prefect.yaml deployed to it twice, and `prefect deployment run collect-and-train` must find the deployment that it
does not name. `pip index versions prefect` lists the versions there are.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from flows.server.client import connected

CHECKOUT = Path(__file__).resolve().parents[1]
TESTS = ("tests/flows/test_plugin.py", "tests/flows/test_deployments.py")
_START_S = 900.0
_PREFECT = [sys.executable, "-m", "prefect"]


def main() -> None:
    """Try each version, and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/prefect-versions"))
    arguments = parser.parse_args()
    failed = False
    for version in arguments.versions:
        home = arguments.folder / version
        environment = installed(version, home)
        outcome = {"tests": run_tests(environment), "bare name": run_bare_name(environment)}
        failed |= any(outcome.values())
        print(f"{version:<10}" + ", ".join(f"{name}: {why or 'passed'}" for name, why in outcome.items()), flush=True)
    sys.exit(failed)


def installed(version: str, home: Path) -> dict[str, str]:
    """Install a version into a folder of its own; returns an environment in which it is found first."""
    packages = home / "packages"
    if not packages.is_dir():
        words = ["install", "--quiet", "--no-deps", "--target", str(packages), f"prefect=={version}"]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    path = os.pathsep.join([str(packages), str(CHECKOUT)])
    environment = kept | {"PYTHONPATH": path, "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"}
    found = subprocess.run([*_PREFECT, "--version"], env=environment, capture_output=True, text=True, check=True).stdout
    if found.strip() != version:
        raise SystemExit(f"{version} was installed, and {found.strip()} is found")
    return environment


def run_tests(environment: Mapping[str, str]) -> str:
    """Run the tests with this version; returns why they failed, or nothing."""
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout.strip().splitlines()[-1]


def run_bare_name(environment: Mapping[str, str]) -> str:
    """Deploy to a server of this version, and start the deployment by its bare name; returns why not, or nothing."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    asking = {**environment, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    start = [*_PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        start, env=dict(environment), cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + _START_S
        while not _is_healthy(asking["PREFECT_API_URL"]):
            if time.monotonic() > deadline or server.poll() is not None:
                return "the server did not start"
            time.sleep(0.5)
        for words in (
            ("work-pool", "create", "collect-and-train", "--type", "process"),
            ("--no-prompt", "deploy", "--all"),
            ("--no-prompt", "deploy", "--all"),  # a schedule with a slug is brought up to date, not added again
            ("deployment", "run", "collect-and-train"),
        ):
            done = subprocess.run([*_PREFECT, *words], env=asking, cwd=CHECKOUT, capture_output=True, text=True)
            if done.returncode:
                return f"`prefect {' '.join(words)}`: {' '.join((done.stdout + done.stderr).split())[-300:]}"
        return _as_it_should_be(asking["PREFECT_API_URL"])
    finally:
        server.terminate()
        server.wait(30)


def _as_it_should_be(api: str) -> str:
    with connected(api, timeout_s=30, retries=5) as client:
        deployments = client.request("POST", "/deployments/filter", json={}).json()
        runs = client.request("POST", "/flow_runs/filter", json={}).json()
    for deployment in deployments:
        limit = (deployment.get("global_concurrency_limit") or {}).get("limit")
        strategy = (deployment.get("concurrency_options") or {}).get("collision_strategy")
        if (limit, strategy) != (1, "ENQUEUE"):
            return f"{deployment['name']} has the limit {limit} with {strategy}"
        slugs = [schedule.get("slug") for schedule in deployment["schedules"]]
        if len(slugs) > 1 or not all(slugs):
            return f"{deployment['name']} has the schedules {slugs}"
    local = next(deployment["id"] for deployment in deployments if deployment["name"] == "local")
    return "" if any(run["deployment_id"] == local for run in runs) else "no run of local was made"


def _is_healthy(api: str) -> bool:
    try:
        return httpx.get(f"{api}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
