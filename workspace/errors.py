"""Every error that the project raises on purpose.

::

    CollectAndTrainError          catch this to catch them all
    ├── ConfigError               workspace.toml or an argument: every problem of it together
    ├── WorkspaceError            the folder: not a workspace, not writable
    │   └── WorkspaceBusy         held by another process (workspace/storage/lock.py)
    ├── CollectError              collection as a whole cannot go on
    │   ├── SourceFailed          one source's answer: blocked, busy, changed; has a reason
    │   └── TransferFailed        one url's transfer; has a status and a reason
    ├── ImageRefused              one file that cannot become pixels; has a reason
    ├── DatasetError              too few pictures or classes to go on
    ├── WeightsError              pretrained weights are not to be had; names the remedies
    └── ModelError                a saved model that is damaged or does not fit

A text names the value, the limit, the place, and what to do.
"""

from __future__ import annotations


class CollectAndTrainError(Exception):
    """Base of every error raised on purpose; its text is fit to be shown to a person."""


class ConfigError(CollectAndTrainError):
    """The configuration does not hold; the text lists every problem found."""


class WorkspaceError(CollectAndTrainError):
    """The workspace folder cannot be used."""


class CollectError(CollectAndTrainError):
    """Collection as a whole cannot go on."""


class SourceFailed(CollectError):
    """A source did not answer the question that it was asked.

    Attributes:
        reason: the name of a Reason of the stage search or download (workspace/reasons.py).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class TransferFailed(CollectError):
    """A url could not be fetched.

    Attributes:
        status: `failed` (may work another day) or `refused` (we will not fetch it).
        reason: the name of a Reason of the stage download (workspace/reasons.py), such as `http_404` or `timeout`.
        http_status: the last status code, or None when there was no answer.
        attempts: how often it was tried; 0 when its host had been given up.
    """

    def __init__(
        self, status: str, reason: str, detail: str, *, http_status: int | None = None, attempts: int = 1
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.status = status
        self.reason = reason
        self.detail = detail
        self.http_status = http_status
        self.attempts = attempts


class ImageRefused(CollectAndTrainError):
    """A file that cannot become an upright RGB picture.

    Attributes:
        reason: `empty`, or the name of a Reason of the stage decode (workspace/reasons.py).
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class DatasetError(CollectAndTrainError):
    """There are too few pictures or classes for the step that was asked for."""


class WeightsError(CollectAndTrainError):
    """Pretrained weights cannot be had; the text names every remedy.

    Attributes:
        cause: what is wrong, without the remedies.
    """

    def __init__(self, cause: str, remedies: str) -> None:
        super().__init__(f"{cause}. {remedies}")
        self.cause = cause


class ModelError(CollectAndTrainError):
    """A saved model cannot be used."""
