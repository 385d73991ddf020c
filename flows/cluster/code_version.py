"""The version of the code on a machine: what must be equal on all, so that the results are."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CodeVersion = Mapping[str, str]
"""By name: `code` is a digest of our sources, the others are versions."""

_ROOT = Path(__file__).resolve().parents[2]
_OURS = ("workspace", "collectors", "preprocessing", "training", "flows")
_OTHERS = ("numpy", "opencv-python-headless", "pillow", "pillow-heif", "timm", "torch", "torchvision")
"""Libraries whose versions change pixels, hashes or features."""


def code_version() -> CodeVersion:
    """Return this machine's version."""
    return {"code": _digest(), "python": platform.python_version().rpartition(".")[0]} | {
        name: _version(name) for name in _OTHERS
    }


def differences(ours: CodeVersion, theirs: CodeVersion) -> str:
    """Name what differs, in words; empty where nothing does."""
    found = []
    for name in sorted({*ours, *theirs}):
        here, there = ours.get(name, "none"), theirs.get(name, "none")
        if here != there:
            found.append("another version of the code" if name == "code" else f"{name} {there}, not {here}")
    return " and ".join(found)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _digest() -> str:
    hashed = hashlib.sha256()
    for package in _OURS:
        root = _ROOT / package
        for file in sorted(root.rglob("*.py")):
            hashed.update(f"{package}/{file.relative_to(root).as_posix()}\0".encode())
            hashed.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return hashed.hexdigest()[:12]
