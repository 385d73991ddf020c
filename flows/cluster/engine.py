"""The interface of an engine: whatever runs a function on the machines of a cluster."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from workspace.errors import CollectAndTrainError
from workspace.files.scratch import scratch_folder
from workspace.names import local_path
from workspace.spread.shards import Shared
from workspace.storage.paths import Workspace

Value = TypeVar("Value")

Handle = Hashable
"""Stands for a shard that was handed out."""


class WorkerLost(Exception):
    """The process or the machine that did a shard is gone; says what is known of its end."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a shard: its results, and the error that ended it, if any."""

    results: Sequence[Any]
    error: CollectAndTrainError | None = None


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A shard on its way to a worker: what does it, itself, and where the worker may put copies of files."""

    work: Callable[[Any], Iterable[Any]]
    shard: Any
    scratch: str = ""


class Engine(Protocol):
    """A running cluster."""

    def places(self, gpus: float) -> int:
        """Count the shards that can be done at once, each with a core and so many GPUs."""

    def share(self, value: Value) -> Shared[Value]:
        """Send a value to the cluster, for many shards to read."""

    def submit(self, task: ShardTask, gpus: float) -> Handle:
        """Hand out a shard."""

    def wait(self, handles: Collection[Handle], seconds: float) -> Handle | None:
        """Return the handle of a shard that has ended, in whatever way; None: none has, for so long."""

    def take(self, handle: Handle) -> Done:
        """Take what came of a shard that has ended.

        Raises:
            WorkerLost: its process or its machine is gone.
        """

    def cancel(self, handles: Collection[Handle]) -> None:
        """End these shards and forget them."""


def do_shard(task: ShardTask) -> Done:
    """Do a shard in a worker; a foreseen error comes after the results before it."""
    results: list[Any] = []
    try:
        with _on_this_machine(task) as shard:
            results.extend(task.work(shard))
    except CollectAndTrainError as error:
        return Done(results, error)
    return Done(results)


def placed(shard: Any) -> Any:
    """Say in a shard where the files of its workspace lie: whoever does it may have no workspace.toml."""
    workspace = getattr(shard, "workspace", None)
    if not isinstance(workspace, Workspace):
        return shard
    return replace(shard, workspace=replace(workspace, placed=workspace.storage))


@contextmanager
def _on_this_machine(task: ShardTask) -> Iterator[Any]:
    """Give a shard a folder here for what it caches, where its workspace's folder is on another machine."""
    workspace = getattr(task.shard, "workspace", None)
    if not isinstance(workspace, Workspace) or not workspace.storage.files:
        yield task.shard  # in the workspace's folder, which every machine sees
        return
    folder = scratch_folder(local_path(task.scratch or tempfile.gettempdir()) / "collect-and-train")
    try:
        yield replace(task.shard, workspace=replace(workspace, root=folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
