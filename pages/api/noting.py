"""What the service notes of its answers: counts for drift, and, where it is told to, the pictures to look at."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

from collectors.url_identity import canonical_url
from pages.api.live_model import LoadedModel
from training.evaluation.drift import Drift, compare_answers
from training.inference.classifier import Classification
from workspace.catalog.records import Withdrawal
from workspace.clock import utc_now
from workspace.config.operate import ServeConfig
from workspace.files.image_type import image_suffix
from workspace.served.answers import AnswerWindow
from workspace.served.kept import KeptPicture, KeptPictures, Limits
from workspace.storage.image_store import ImageStore
from workspace.storage.paths import Workspace
from workspace.storage.withdrawal import withdrawn_files

_COMPARE_EVERY_S = 30.0  # the comparison takes some milliseconds, and /metrics may be asked often


class AnswerLog:
    """Counts the answers of the present model, and compares them with those to its test images; for several threads.

    Args:
        file: where the counts are kept; None: in memory alone.
        settings: the size of the window, and the level of the comparison.
    """

    def __init__(self, file: Path | None, settings: ServeConfig) -> None:
        self._file, self._settings = file, settings
        self._lock = threading.Lock()
        self._model: LoadedModel | None = None
        self._window: AnswerWindow | None = None
        self._compared: tuple[float, Drift | None] = (-_COMPARE_EVERY_S, None)

    def add(self, model: LoadedModel, answer: Classification) -> None:
        """Count an answer that was given with the model's default limits."""
        self._window_of(model).add(answer.best, answer.probability, answer.distance, not answer.answered)

    def size(self, model: LoadedModel) -> int:
        """Return how many answers of this model are in the window."""
        return self._window_of(model).tally().n

    def drift(self, model: LoadedModel) -> Drift | None:
        """Compare the window with the test images, anew after some seconds; None where there is too little."""
        window, now = self._window_of(model), time.monotonic()
        if model.test is None:
            return None
        if now - self._compared[0] >= _COMPARE_EVERY_S:
            classes, level = model.classifier.classes, self._settings.drift_level
            drift = compare_answers(model.run_id, classes, model.test, window.tally(), model.refuses, level)
            self._compared = (now, drift)
        return self._compared[1]

    def save(self) -> None:
        """Write what was counted.

        Raises:
            WorkspaceError: it cannot be written.
        """
        if self._window is not None:
            self._window.save()

    def _window_of(self, model: LoadedModel) -> AnswerWindow:
        with self._lock:
            if self._window is None or self._model is not model:
                self._window = AnswerWindow(self._file, model.run_id, model.classifier.classes, self._settings.window)
                self._model, self._compared = model, (-_COMPARE_EVERY_S, None)
            return self._window


class PictureKeeper:
    """Keeps the pictures that the model is least sure of, unless they are in the collection or were withdrawn.

    Args:
        workspace: whose folder served/ they go to.
        settings: what is kept, and how much.
    """

    def __init__(self, workspace: Workspace, settings: ServeConfig) -> None:
        self._workspace, self._settings = workspace, settings
        self._kept, self._images = KeptPictures(workspace), ImageStore(workspace)
        self._limits = Limits(settings.keep_pictures, int(settings.keep_mb * 1e6))
        self._withdrawn: tuple[tuple[float, ...], set[str], set[str]] | None = None

    def wants(self, answer: Classification) -> bool:
        """Return whether a picture with this answer is one to keep."""
        return not answer.answered or answer.probability < self._settings.keep_below

    def keep(self, model: LoadedModel, answer: Classification, data: bytes, url: str) -> bool:
        """Keep a picture, if it is new; return whether it is kept.

        Args:
            model: that answered.
            answer: its answer, which `wants` accepts.
            data: the file.
            url: the address it was fetched from; empty for an upload.

        Raises:
            WorkspaceError: it cannot be written.
        """
        sha256, suffix = hashlib.sha256(data).hexdigest(), image_suffix(data)
        if suffix is None or self._kept.knows(sha256) or self._images.exists(sha256):
            return False
        files, urls = self._withdrawals()
        url = canonical_url(url)  # as `forget` writes it
        if sha256 in files or url in urls:
            return False
        record = KeptPicture(
            version=1,
            sha256=sha256,
            suffix=suffix,
            bytes=len(data),
            kept_at=utc_now(),
            run_id=model.run_id,
            best=answer.best,
            probability=answer.probability,
            none=answer.why_none,
            url=url,
        )
        return self._kept.keep(record, data, self._limits)

    def _withdrawals(self) -> tuple[set[str], set[str]]:
        """Read what `forget` has withdrawn, files and addresses, again when the catalogue has changed."""
        if not self._workspace.has_catalog():
            return set(), set()
        stamp = self._workspace.catalog_stamp()
        if self._withdrawn is None or self._withdrawn[0] != stamp:
            with self._workspace.open_catalog() as catalog:
                urls = {rule.value for rule in catalog.all(Withdrawal) if rule.kind == "url"}
                self._withdrawn = (stamp, withdrawn_files(catalog), urls)
        return self._withdrawn[1:]
