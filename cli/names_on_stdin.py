"""The list of names that `predict` takes on standard input."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from itertools import chain
from typing import Protocol

from workspace.text.encoding import PLAIN, encoding_of

_AT_ONCE = 65_536


class ByteStream(Protocol):
    """What standard input is in bytes."""

    def read1(self, size: int, /) -> bytes:
        """Read what is there, at most `size` bytes; empty at the end."""


def names_from(stream: ByteStream) -> Iterator[str]:
    """Yield names as they come, one a line, or separated by NUL as by `find -print0`; empty ones are left out.

    A byte order mark says how a list is encoded. Without one its names are the bytes of a file system, as `os.fsdecode`
    gives them, so that names in another encoding than UTF-8 work too.
    """
    chunks = iter(lambda: stream.read1(_AT_ONCE), b"")
    head = next(chunks, b"")
    if (encoding := encoding_of(head)) != PLAIN:
        yield from _stripped((head + b"".join(chunks)).decode(encoding, "replace").splitlines())
        return
    head = head.removeprefix(codecs.BOM_UTF8)
    if b"\0" in head:  # such names may have spaces and line ends of their own
        yield from (os.fsdecode(name) for name in _split(chain([head], chunks), b"\0") if name)
    else:
        yield from _stripped(os.fsdecode(line) for line in _split(chain([head], chunks), b"\n"))


def _split(chunks: Iterator[bytes], separator: bytes) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(separator)
        yield from whole
    yield rest


def _stripped(lines: Iterator[str] | list[str]) -> Iterator[str]:
    return (line.strip() for line in lines if line.strip())
