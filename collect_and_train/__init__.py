"""Every package under one import name: `collect_and_train.training`, `collect_and_train.workspace` and so on.

In the built wheel they are subpackages of this one (setup.py moves them here). In a checkout they are the folders
beside this one, and both names give the same module: `collect_and_train.training is training`.
"""

from pathlib import Path

if not (Path(__file__).parent / "workspace").is_dir():
    from collect_and_train.checkout import find_packages_beside

    find_packages_beside()
