"""The built wheel, in an environment that has the dependencies and no checkout: `make test-wheel`."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import UUID

import numpy
import pytest
import yaml

from flows.server.client import connected
from gallery.drawing.render import Spec, body_of

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(600)]

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "root_packages"
]


@dataclass
class Installed:
    """An environment with the wheel, and a folder outside of any checkout to use it in."""

    wheel: Path
    bin: Path
    folder: Path

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PYTHON"))}
        return kept | {"PREFECT_HOME": str(self.folder / "prefect"), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}

    def run(self, *words: str | Path) -> str:
        done = subprocess.run(
            [self.bin / words[0], *words[1:]],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Installed:
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"  # setuptools writes beside what it builds
    for name in ["pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "prefect.yaml"]:
        source.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / name, source)
    for package in [*PACKAGES, "collect_and_train"]:
        shutil.copytree(CHECKOUT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", base, source], check=True)
    environment = base / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    (wheel,) = base.glob("*.whl")
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(str(Path(numpy.__file__).parents[1]))  # read without the .pth files there
    folder = base / "elsewhere"
    folder.mkdir()
    return Installed(wheel, environment / "bin", folder)


@pytest.fixture(scope="module")
def photos(installed: Installed) -> Path:
    """A folder per class of drawn pictures."""
    folder = installed.folder / "photos"
    for keyword in ("lighthouse", "teapot"):
        for number in range(14):
            file = folder / keyword / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body_of(Spec(5, keyword, number, "honest", "jpeg", (320, 240))) or b"")
    return folder


def test_everything_is_under_one_name_and_nothing_is_left_behind(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = archive.namelist()
        top_level = archive.read(next(name for name in names if name.endswith("top_level.txt"))).decode()
    inside = {name for name in names if name.startswith("collect_and_train/")}
    assert all(".dist-info/" in name for name in set(names) - inside)
    assert top_level.split() == ["collect_and_train"]
    sources = {
        file.relative_to(CHECKOUT).as_posix()
        for package in PACKAGES
        for file in (CHECKOUT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {f"collect_and_train/{name}" for name in sources} - inside == set()
    assert {"collect_and_train/prefect.yaml", "collect_and_train/py.typed"} <= inside


def test_every_module_is_imported_by_that_name_alone(installed: Installed) -> None:
    script = (
        "import importlib, importlib.util, json, pkgutil, sys, collect_and_train\n"
        f"packages = {PACKAGES!r}\n"
        "names = [m.name for m in pkgutil.walk_packages(collect_and_train.__path__, 'collect_and_train.')]\n"
        "for name in names:\n"
        "    if not name.endswith(('__main__', '.checkout', 'migrations.env')): importlib.import_module(name)\n"
        "print(len(names), [name for name in packages if name in sys.modules or importlib.util.find_spec(name)])"
    )
    count, found = installed.run("python", "-c", script).splitlines()[-1].split(" ", 1)
    assert int(count) > 200 and found == "[]"


def test_the_commands_work_outside_of_a_checkout(installed: Installed, photos: Path, quick_words: list[str]) -> None:
    assert re.match(r"collect-and-train \d+\.\d+", installed.run("collect-and-train", "--version"))
    assert "workspace.toml" in installed.run("collect-and-train", "init", "-w", "data/new")
    assert (installed.folder / "data" / "new" / "workspace.toml").is_file()
    said = installed.run("collect-and-train", "run", "--photos", photos, "-w", "data/mine", *quick_words)
    assert "report.html" in said and "Traceback" not in said
    (report,) = (installed.folder / "data" / "mine").glob("runs/*/report.html")
    assert "<svg" in report.read_text(encoding="utf-8")
    answers = installed.run("collect-and-train", "predict", "-w", "data/mine", photos, "--format", "json")
    assert len(re.findall(r'"picture"', answers)) == 28
    assert "live model" in installed.run("python", "-m", "collect_and_train", "status", "-w", "data/mine")


def test_the_deployments_run_outside_of_a_checkout(installed: Installed, photos: Path) -> None:
    log = installed.folder / "up.log"
    with log.open("wb") as out:
        up = subprocess.Popen(
            [installed.bin / "collect-and-train", "up", "--port", "0", "-w", "data/deployed"],
            cwd=installed.folder,
            env=installed.environment(),
            stdout=out,
            stderr=out,
        )
    try:
        wait_for(lambda: "Prefect's page: " in log.read_text(), up, log)
        api = re.search(r"Prefect's page: (\S+)", log.read_text())[1] + "/api"  # type: ignore[index]
        assert f"Next, in another terminal, in {installed.folder}" in log.read_text()
        deployments = {each["name"]: each for each in ask(api, "deployments")}
        shipped = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
        assert deployments.keys() == {each["name"] for each in shipped}
        assert deployments["collect"]["entrypoint"] == "collect_and_train.flows.collect.collect"
        with connected(api, timeout_s=30, retries=5) as client:
            started = client.create_flow_run_from_deployment(
                UUID(str(deployments["collect"]["id"])), parameters={"photos": str(photos)}
            )

        def ended() -> bool:
            states = [run["state_type"] for run in ask(api, "flow_runs") if run["id"] == str(started.id)]
            assert set(states) <= {"SCHEDULED", "PENDING", "RUNNING", "COMPLETED"}, log.read_text()
            return states == ["COMPLETED"]

        wait_for(ended, up, log)
        assert (installed.folder / "data" / "deployed" / "catalog.sqlite").is_file()
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(60)


def ask(api: str, what: Literal["deployments", "flow_runs"]) -> list[dict[str, object]]:
    with connected(api, timeout_s=30, retries=5) as client:
        rows: list[dict[str, object]] = client.request("POST", f"/{what}/filter", json={"limit": 200}).json()
    return rows


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)
