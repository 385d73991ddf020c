"""Exceptions that the project raises on purpose.

::

    CollectAndTrainError          catch this to catch them all
    ├── ConfigError               workspace.toml or an argument: every problem of it together
    │   └── UsageError            what was given for this run alone, on the command line
    ├── WorkspaceError            the folder: not a workspace, not writable
    │   └── WorkspaceBusy         held by another process (workspace/storage/lock.py)
    ├── CollectError              collection as a whole cannot go on
    │   ├── SourceFailed          one source's answer: blocked, busy, changed; has a reason
    │   └── TransferFailed        one url's transfer; has a status and a reason
    ├── ImageRefused              one file that cannot become pixels; has a reason
    ├── DatasetError              too few pictures or classes to go on
    ├── WeightsError              pretrained weights are not to be had; names the remedies
    ├── ExtraMissing              a package that only an extra installs; names the extra
    ├── ModelError                a saved model that is damaged or does not fit
    └── ClusterError              the machines of [cluster] cannot be used
        └── ShardLost             work that ended every process that did it

A text names the value, the limit, the place, and what to do.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class CollectAndTrainError(Exception):
    """Base of every exception raised on purpose; its text can be shown to a user."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Name what unpickling needs, whatever the arguments of a subclass: it may be raised in another process."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[CollectAndTrainError], args: tuple[Any, ...], state: dict[str, Any]) -> CollectAndTrainError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class ConfigError(CollectAndTrainError):
    """Invalid settings or arguments; the text lists every problem found."""


class UsageError(ConfigError):
    """Invalid arguments, or settings given for one run; workspace.toml is right."""


class WorkspaceError(CollectAndTrainError):
    """The workspace folder cannot be used."""


class CollectError(CollectAndTrainError):
    """Collection as a whole cannot continue."""


class SourceFailed(CollectError):
    """A source did not answer a search.

    Attributes:
        reason: the name of a Reason of the stage search or download (workspace/reasons.py).
        url: as of TransferFailed.
    """

    def __init__(self, reason: str, detail: str, *, url: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.url = url


class TransferFailed(CollectError):
    """A URL could not be fetched.

    Attributes:
        status: `failed` (may work another day) or `refused` (we will not fetch it).
        reason: the name of a Reason of the stage download (workspace/reasons.py), such as `http_404` or `timeout`.
        http_status: the last status code, or None when there was no answer.
        attempts: how often it was tried; 0 when its host had been given up.
        url: the redirect's target that failed; empty where the URL itself did.
    """

    def __init__(
        self, status: str, reason: str, detail: str, *, http_status: int | None = None, attempts: int = 1, url: str = ""
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.http_status = http_status
        self.attempts = attempts
        self.url = url


class ImageRefused(CollectAndTrainError):
    """A file that cannot be decoded to an upright RGB image.

    Attributes:
        reason: `empty`, or the name of a Reason of the stage decode (workspace/reasons.py).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DatasetError(CollectAndTrainError):
    """Too few images or classes, or a dataset that cannot be read."""


class WeightsError(CollectAndTrainError):
    """Pretrained weights are not available; the text names every remedy.

    Attributes:
        cause: what is wrong, without the remedies.
    """

    def __init__(self, cause: str, remedies: str) -> None:
        super().__init__(f"{cause}. {remedies}")
        self.cause = cause


class ExtraMissing(CollectAndTrainError):
    """A package is not installed that an extra of this project brings."""


def install_extra(name: str) -> str:
    """Write the commands that install an extra, from the built file and in a checkout."""
    return f"pip install 'FILE.whl[{name}]', or in a checkout: pip install -e '.[{name}]'"


def needed_extra(name: str, what: str, package: str) -> str:
    """Write the sentence that `what` needs a package, which an extra brings, and how that is installed."""
    return f"{what} needs {package}, which the extra `{name}` brings: {install_extra(name)}"


@contextmanager
def needs_extra(name: str, what: str) -> Iterator[None]:
    """Name the extra, and how to install it, where an import in the block finds no package.

    Args:
        name: the extra, as in pyproject.toml.
        what: begins the sentence, such as "an ONNX export".

    Raises:
        ExtraMissing: in place of ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(needed_extra(name, what, str(error.name))) from error


class ModelError(CollectAndTrainError):
    """A saved model cannot be used."""


class ClusterError(CollectAndTrainError):
    """The machines of [cluster] cannot be used; the text names the remedy."""


class ShardLost(ClusterError):
    """Shards of a step ended every process that did them; all others are done."""


_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "give yourself the permission",
    errno.EPERM: "give yourself the permission",
    errno.EROFS: "name a place that can be written",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EMFILE: "raise the number of open files (ulimit -n)",
    errno.ENOMEM: "end other programs, or use a smaller batch",
    errno.EISDIR: "a folder has this name: move it away",
}


def os_failure(error: OSError, path: Path | None = None, otherwise: str = "") -> str:
    """Write what the system refused and the remedy that fits, such as `No space left on device; free some space`.

    Args:
        error: as the system raised it.
        path: what was to be read or written; names the part of it that is a file where a folder should be.
        otherwise: the remedy where none is known.
    """
    if path is not None and error.errno in (errno.ENOTDIR, errno.EEXIST):
        for part in (*reversed(path.parents), path):
            if part.is_file():
                return f"{part} is a file, not a folder; name another folder"
    remedy = _REMEDIES.get(error.errno or 0, otherwise)
    return f"{error.strerror or error}" + (f"; {remedy}" if remedy else "")
