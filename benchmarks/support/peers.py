"""Virtual environments of the peers that benchmarks compare with; made once, kept beside .venv."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / ".peers"


def peer_python(name: str, *requirements: str, python: str = sys.executable) -> Path:
    """Return the interpreter of an environment with these packages; create it where it is missing.

    Args:
        name: of the environment, such as `fastai`.
        requirements: as pip takes them, versions pinned.
        python: the interpreter to make it from.

    Raises:
        SystemExit: pip cannot install them; its own message is printed.
    """
    folder = FOLDER / name
    interpreter = folder / "bin" / "python"
    done = folder / "requirements.txt"
    wanted = "\n".join(requirements) + "\n"
    if done.is_file() and done.read_text() == wanted:
        return interpreter
    print(f"making the environment of {name} in {folder} …", file=sys.stderr)
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    installed = subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *requirements], check=False)
    if installed.returncode:
        raise SystemExit(f"the peer {name} could not be installed ({' '.join(requirements)}); see pip's message above")
    done.write_text(wanted)
    return interpreter
