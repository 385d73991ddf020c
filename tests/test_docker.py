"""Dockerfile and compose.yaml against the project; without Docker, which was not to be had."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from typer.main import get_command

from cli.main import app
from flows.server.deployments import POOL

CHECKOUT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
SERVICES = yaml.safe_load((CHECKOUT / "compose.yaml").read_text(encoding="utf-8"))["services"]


def stages() -> list[str]:
    return re.split(r"^FROM ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.M), flags=re.M)[1:]


def test_the_context_has_what_the_wheel_is_built_from_and_nothing_else() -> None:
    allowed = set(re.findall(r"^!(.+)$", (CHECKOUT / ".dockerignore").read_text(encoding="utf-8"), re.M))
    packages = {*PROJECT["tool"]["importlinter"]["root_packages"], "collect_and_train"}
    build = {"pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "prefect.yaml"}
    assert allowed == packages | build | {"constraints.txt", "docker/requirements.py"}
    assert all((CHECKOUT / name).exists() for name in allowed)


def test_the_image_has_a_tried_python_and_runs_as_somebody_without_build_tools() -> None:
    python = re.search(r"^ARG PYTHON=(\S+)", DOCKERFILE, re.M)
    assert python and SpecifierSet(PROJECT["project"]["requires-python"]).contains(python[1])
    first, last = stages()
    assert "pip wheel" in first
    assert re.search(r"^ARG UID=[1-9]\d+$", last, re.M) and re.search(r"^USER \$\{UID\}$", last, re.M)
    assert not re.search(r"\b(pip|apt-get|gcc|setuptools)\b", last)


def test_the_layer_of_dependencies_has_those_of_the_project_and_of_the_extras() -> None:
    done = subprocess.run(
        [sys.executable, "docker/requirements.py", "export,heif"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    extras = PROJECT["project"]["optional-dependencies"]
    assert lines == [*PROJECT["project"]["dependencies"], *extras["export"], *extras["heif"]]
    named = re.search(r"^ARG EXTRAS=(\S+)", DOCKERFILE, re.M)
    assert named and set(named[1].split(",")) <= extras.keys()


def test_every_port_is_that_of_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if service["restart"] != "no"])
def test_a_service_that_stays_is_watched_and_what_it_needs_is_waited_for(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert how["condition"] == (
            "service_completed_successfully" if SERVICES[other]["restart"] == "no" else "service_healthy"
        )


def test_the_commands_of_the_services_are_those_of_the_project() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert SERVICES["deploy"]["entrypoint"][1] in commands
    worker = SERVICES["worker"]["entrypoint"]
    assert worker[worker.index("--pool") + 1] == POOL
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${POSTGRES_PASSWORD:?")
    volumes = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {"postgres", "cache", "./data"} == volumes
