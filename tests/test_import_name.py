"""`collect_and_train.training` in a checkout, and how setup.py makes it so in the wheel."""

import ast
import importlib.util
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ["training", "workspace"]
MODULES = {"training", "training.train", "training.network.features", "workspace", "workspace.errors"}


@pytest.fixture(scope="module")
def setup():
    spec = importlib.util.spec_from_file_location("setup_of_the_checkout", CHECKOUT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("first", ["collect_and_train.", ""])
def test_in_a_checkout_a_module_has_both_names_and_is_loaded_once(first: str) -> None:
    second = "" if first else "collect_and_train."
    script = f"""
import sys, {first}workspace.config.model as one
from {second}workspace.config import model as two
import collect_and_train.workspace, workspace
assert one is two and collect_and_train.workspace is workspace
assert one.__name__ == one.__spec__.name == "workspace.config.model"
from {first}workspace.errors import ConfigError as a
from {second}workspace.errors import ConfigError as b
assert a is b
try:
    import collect_and_train.no_such_package
except ModuleNotFoundError as error:
    assert error.name == "collect_and_train.no_such_package"
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, check=True)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("from training.train import run", "from collect_and_train.training.train import run"),
        ("    from workspace import errors", "    from collect_and_train.workspace import errors"),
        ("    >>> from workspace.errors import X", "    >>> from collect_and_train.workspace.errors import X"),
        ("from workspace_tools import x", "from workspace_tools import x"),
        ("from training pictures one comes", "from training pictures one comes"),
        ('import_module(f"training.{name}")', 'import_module(f"collect_and_train.training.{name}")'),
        ('["-m", "training.train"]', '["-m", "collect_and_train.training.train"]'),
        ('Step("train", "training", "workspace.toml")', 'Step("train", "training", "workspace.toml")'),
        ("import torch.nn", "import torch.nn"),
    ],
)
def test_what_becomes_of_a_line(setup, line: str, expected: str) -> None:
    assert setup.renamed(line, PACKAGES, MODULES) == expected


@pytest.mark.parametrize(
    "line",
    [
        "import training.train",
        "import workspace",
        "x = 'training.train'",
        'f"{a}" "training." f"{b}"',
        'resources.files("workspace")',
        'PackageLoader("training", ".")',
    ],
)
def test_what_is_not_understood_stops_the_build(setup, line: str, tmp_path) -> None:
    (tmp_path / "collect_and_train").mkdir()
    (tmp_path / "training").mkdir()
    (tmp_path / "workspace").mkdir()
    (tmp_path / "training" / "train.py").write_text(line)
    with pytest.raises(ValueError, match=r"train\.py: .* would not be found in the wheel"):
        setup.gather(tmp_path)


def test_nothing_in_the_packages_stops_the_build(setup, tmp_path) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["importlinter"]["root_packages"]
    for package in packages:
        shutil.copytree(CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "collect_and_train").mkdir()
    setup.gather(tmp_path)
    for file in tmp_path.rglob("*.py"):
        roots = {
            node.module.partition(".")[0]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module
        }
        assert roots.isdisjoint(packages), file
