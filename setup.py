"""Build the wheel: the packages of the checkout become subpackages of `collect_and_train`.

`training` or `pages` as a top-level name would collide with other people's packages. So the wheel has
collect_and_train/training, and every import of it says so. docs/decisions/0017-wheel.md has the reasons; all other
settings stand in pyproject.toml. An editable install changes nothing.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

NAME = "collect_and_train"
CHECKOUT = Path(__file__).resolve().parent
DATA = ("prefect.yaml",)
"""Files of the checkout that the packages read, which go beside them."""


class Subpackages(build_py):
    """Copies the packages as setuptools does, and moves them into one."""

    def run(self) -> None:
        """Copy, move, rename the imports."""
        if self.editable_mode:
            super().run()
            return
        shutil.rmtree(self.build_lib, ignore_errors=True)  # or the wheel would have what was deleted since
        super().run()
        gather(Path(self.build_lib))
        for name in DATA:
            shutil.copyfile(CHECKOUT / name, Path(self.build_lib) / NAME / name)


class OneTopLevel(bdist_wheel):
    """Names the one package in the metadata."""

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        """Write the metadata."""
        super().egg2dist(egginfo_path, distinfo_path)
        (Path(distinfo_path) / "top_level.txt").write_text(f"{NAME}\n", encoding="utf-8")


def gather(folder: Path) -> None:
    """Move the packages of a folder into its package `collect_and_train`, and rename what imports them.

    Raises:
        ValueError: a file names a package in a way that is not understood; use `from package.module import name`.
    """
    packages = sorted(each.name for each in folder.iterdir() if each.is_dir() and each.name != NAME)
    modules = {
        ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        for package in packages
        for file in (folder / package).rglob("*.py")
    }
    for package in packages:
        (folder / package).rename(folder / NAME / package)
    for file in sorted((folder / NAME).rglob("*.py")):
        text = renamed(file.read_text(encoding="utf-8"), packages, modules)
        if left := sorted(set(old_names(ast.parse(text), packages, modules))):
            raise ValueError(f"{file}: {', '.join(left)} would not be found in the wheel")
        file.write_text(text, encoding="utf-8")


def renamed(text: str, packages: list[str], modules: set[str]) -> str:
    """Prefix the packages in imports, also those of examples in docstrings, and in texts that name a module."""
    name = rf"(?:{'|'.join(packages)})(?:\.\w+)*"
    text = re.sub(rf"^([ ]*(?:(?:>>>|\.\.\.) )?from )({name} import )", rf"\1{NAME}.\2", text, flags=re.M)
    text = re.sub(rf"(f\")({name}\.\{{)", rf"\1{NAME}.\2", text)
    return re.sub(
        rf"\"({name})\"", lambda found: f'"{NAME}.{found[1]}"' if is_module(found[1], modules) else found[0], text
    )


def is_module(text: str, modules: set[str]) -> bool:
    """Tell the name of a module from a word that is also the name of a package, such as `training`."""
    return "." in text and text in modules


def old_names(tree: ast.AST, packages: list[str], modules: set[str]) -> Iterator[str]:
    """Find the imports and the texts that name a package of the checkout without its prefix."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                found = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module), level=0):
                found = [module]
            case ast.Constant(value=str(text)) if is_module(text, modules) or re.fullmatch(r"\w+(\.\w+)*\.", text):
                found = [text]
            case ast.Call(args=[ast.Constant(value=str(text)), *_], func=ast.Name(id=name) | ast.Attribute(attr=name)):
                found = [text] if name in ("files", "import_module", "PackageLoader", "find_spec") else []
            case _:
                continue
        yield from (each for each in found if each.partition(".")[0] in packages)


if __name__ == "__main__":
    setup(cmdclass={"build_py": Subpackages, "bdist_wheel": OneTopLevel})
