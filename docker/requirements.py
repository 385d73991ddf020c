"""Print the requirements of pyproject.toml with those of some extras, so that an image has a layer of them.

python docker/requirements.py export,heif
"""

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Print a requirement a line."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for name in sys.argv[1].split(",") if name]
    lines = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
