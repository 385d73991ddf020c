"""The pages of the repository and the packages' docstrings against the code: paths, steps, folders, and their sizes."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from typer.main import get_command

from cli.main import app
from flows.step_table import STEPS, Phase

CHECKOUT = Path(__file__).resolve().parents[1]
PAGE = CHECKOUT / "docs" / "architecture.md"
PACKAGES = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
    "root_packages"
]
MODULES_PER_FOLDER = 12
COMMANDS = get_command(app).commands


def folders(package: str) -> list[Path]:
    """The folders of a package that hold modules, the package itself first."""
    return sorted({file.parent for file in (CHECKOUT / package).rglob("*.py")})


def table(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of the page, without its header."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 2, heading
    return [[cell.strip() for cell in row] for row in rows[2:]]


PATH = re.compile(rf"(?<![\w/.-])(?:{'|'.join([*PACKAGES, 'tests', 'benchmarks', 'docs'])})/[\w./-]*\w/?")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")
CHECKOUT_PAGES = [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md"), CHECKOUT / "data" / "README.md"]


@pytest.mark.parametrize("page", [str(page.relative_to(CHECKOUT)) for page in CHECKOUT_PAGES])
def test_every_path_and_link_of_a_page_leads_to_a_file(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    paths = [CHECKOUT / path for path in PATH.findall(text)]
    links = [(CHECKOUT / page).parent / target for target in LINK.findall(text)]
    assert [str(path) for path in [*paths, *links] if not path.exists()] == []


def test_every_page_of_the_docs_has_its_place_in_the_site() -> None:
    """Decisions have a page that lists them; tests/docs/test_site.py looks at the rest of the site."""
    nav = (CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.relative_to(CHECKOUT / "docs").as_posix() for page in (CHECKOUT / "docs").rglob("*.md")]
    assert [page for page in pages if not page.startswith("decisions/") and f": {page}\n" not in nav] == []


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks"])
def test_every_path_in_a_comment_or_docstring_leads_to_a_file(package: str) -> None:
    gone = [
        f"{file.relative_to(CHECKOUT)}: {path}"
        for file in (CHECKOUT / package).rglob("*.py")
        for path in PATH.findall(file.read_text(encoding="utf-8"))
        if not any(CHECKOUT.glob(f"{path}*"))  # `docs/decisions/0008` is the decision of that number
    ]
    assert gone == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_every_constant_and_class_that_a_page_names_is_in_the_code(page: str) -> None:
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for package in [*PACKAGES, "tests"]
        for file in (CHECKOUT / package).rglob("*.py")
    )
    names = set(
        re.findall(r"`([A-Z_]{4,}|[A-Z][a-z]+(?:[A-Z][a-z]+)*)`", (CHECKOUT / page).read_text(encoding="utf-8"))
    )
    assert names
    assert [name for name in sorted(names) if not re.search(rf"^\s*(?:class )?{name}\b", code, re.M)] == []


def test_every_command_of_the_pages_exists() -> None:
    commands = {name: {option for one in command.params for option in one.opts} for name, command in COMMANDS.items()}
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.M))
    modules = {file.relative_to(CHECKOUT).with_suffix("").as_posix() for file in CHECKOUT.glob("benchmarks/**/*.py")}
    text = "\n".join(file.read_text(encoding="utf-8") for file in CHECKOUT_PAGES)
    named = set(re.findall(r"(?:^|`)\s*collect-and-train ([a-z]+)\b", text, re.M))
    assert len(named) > 20 and named - commands.keys() == set()
    for name, words in re.findall(r"(?:^|`)\s*collect-and-train ([a-z]+)\b([^`#|\n]*)", text, re.M):
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", words)) - commands[name] == set(), name
    assert set(re.findall(r"(?:^ *|`)make ([a-z-]+)(?: +#|`)", text, re.M)) - targets == set()
    assert {name.replace(".", "/") for name in re.findall(r"python -m (benchmarks[\w.]*\w)", text)} - modules == set()


def test_the_table_of_steps_is_that_of_the_code() -> None:
    written = [(row[0], row[3], row[4]) for row in table("The steps")]
    assert [name for name, _, _ in written] == [step.name for step in STEPS]
    for step, (_, module, command) in zip(STEPS, written, strict=True):
        assert module == f"`{step.module.replace('.', '/')}.py`"
        if step.phase is Phase.ARRIVAL:
            assert step.name not in COMMANDS and command.startswith("none")
        else:
            assert step.name in COMMANDS and command == f"`collect-and-train {step.name}`"


def test_the_page_names_every_package() -> None:
    assert {row[0] for row in table("The packages")} == {f"`{package}/`" for package in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_its_folders_hold(package: str) -> None:
    for folder in folders(package):
        init = folder / "__init__.py"
        assert init.is_file(), f"{folder} has modules, but no __init__.py with a docstring"
        docstring = init.read_text(encoding="utf-8").split('"""')[1]
        named = re.findall(r"^    (\w+): ", docstring.partition("Folders:\n")[2], re.M)
        inside = [other.name for other in folders(package) if other.parent == folder]
        assert sorted(named) == sorted(inside), f"Folders in the docstring of {init}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_has_at_most_12_modules(package: str) -> None:
    counts = Counter(file.parent for file in (CHECKOUT / package).rglob("*.py") if file.name != "__init__.py")
    assert {str(folder): n for folder, n in counts.items() if n > MODULES_PER_FOLDER} == {}
