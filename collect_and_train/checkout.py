"""Import the packages of a checkout under the names that they have in the wheel."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

_PREFIX = f"{__package__}."
_CHECKOUT = Path(__file__).resolve().parents[1]


class _BesideFinder(MetaPathFinder, Loader):
    """Answers `collect_and_train.training` with the module `training`: one module, which has two names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module of the folders beside this package."""
        package = fullname.removeprefix(_PREFIX).partition(".")[0]
        if not fullname.startswith(_PREFIX) or not (_CHECKOUT / package / "__init__.py").is_file():
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to Python, which makes an empty one."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of the short name in its place."""
        sys.modules[module.__name__] = import_module(module.__name__.removeprefix(_PREFIX))


def find_packages_beside() -> None:
    """From now on `collect_and_train.NAME` is NAME; asked first, or a submodule would be loaded a second time."""
    if not any(isinstance(finder, _BesideFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BesideFinder())
