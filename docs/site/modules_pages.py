"""The reference of the code: a page per folder, filled from the docstrings by mkdocstrings."""

from __future__ import annotations

import tomllib
from pathlib import Path, PurePosixPath

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = "reference/code"
INDEX = f"{FOLDER}/index.md"


def modules_pages() -> dict[str, str]:
    """Write the page of each folder that holds modules, and the index, by their places."""
    pages, rows = {}, []
    for folder in code_folders():
        name = folder.replace("/", ".")
        modules = sorted(file.stem for file in (CHECKOUT / folder).glob("*.py") if file.stem != "__init__")
        directives = [f"::: {name}.{module}" for module in modules]
        own = f"::: {name}\n    options: {{members: false, show_root_heading: false}}"
        pages[page_of(folder)] = "\n\n".join([f"# {name}", own, *directives, ""])
        docstring = (CHECKOUT / folder / "__init__.py").read_text(encoding="utf-8").split('"""')[1]
        summary = docstring.strip().partition("\n")[0]
        rows.append(f"| [{name}]({PurePosixPath(page_of(folder)).name}) | {summary} |")
    intro = (
        "A page per folder, from its docstrings. [Architecture](../../architecture.md) says how they belong together."
    )
    pages[INDEX] = "\n".join(["# Code", "", intro, "", "| folder | holds |", "|---|---|", *rows, ""])
    return pages


def code_folders() -> list[str]:
    """List the folders of the packages that hold modules, as paths."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["importlinter"]["root_packages"]
    inits = [file for package in packages for file in (CHECKOUT / package).rglob("__init__.py")]
    return sorted(file.parent.relative_to(CHECKOUT).as_posix() for file in inits)


def page_of(path: str) -> str:
    """Return the place of the page that has a folder or a module, by its path in the repository."""
    folder = PurePosixPath(path).parent if path.endswith(".py") else PurePosixPath(path)
    return f"{FOLDER}/{'.'.join(folder.parts)}.md"
