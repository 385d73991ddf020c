"""The table of steps, in order: name, module and options of each, for commands, flows and tasks."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from flows.cluster.spread import UNSEEN, ShardRuns, spread_for
from workspace.catalog.records import StepCounts
from workspace.catalog.renamed_classes import carry_over
from workspace.config.model import WorkspaceConfig
from workspace.progress import SILENT, Progress, Remembering
from workspace.storage.paths import Workspace


class Phase(Enum):
    """The part of the pipeline that a step belongs to."""

    ARRIVAL = auto()
    """Brings new images to a workspace; a flow starts it, it has no command."""
    COLLECT = auto()
    """Repeated in rounds until every class has its images."""
    DATASET = auto()
    """From clean images to a frozen run."""
    RUN = auto()
    """Works on a frozen run, and keeps to its settings."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the pipeline.

    Attributes:
        name: of its command and its task.
        module: that has its `run(workspace, config, progress) -> StepCounts`; named, not imported, since `search` needs
            no torch.
        phase: its part of the path.
        help: one sentence, for people.
        uses_network: a failure of the network may heal, so the task is tried again; the command can record and replay.
        later_rounds: options of its `run` in every round after the first.
        is_spread: whether its `run` takes `spread`: its work may be done on several machines.
    """

    name: str
    module: str
    phase: Phase
    help: str
    uses_network: bool = False
    later_rounds: Mapping[str, bool] = field(default_factory=dict)
    is_spread: bool = False

    def run(
        self,
        workspace: Workspace,
        config: WorkspaceConfig,
        progress: Progress = SILENT,
        round_number: int = 1,
        shard_runs: ShardRuns = UNSEEN,
    ) -> StepCounts:
        """Run the step; rounds are counted from 1, and `shard_runs` shows what is done on several machines.

        Before it looks at the catalogue, what was filed under a class that has another name now goes to that class. A
        long step is announced with the time that it will take, where an earlier one was measured on this machine. The
        notes of the counts that the step has not told by itself are told at its end.
        """
        spread = {"spread": spread_for(config.cluster, shard_runs)} if self.is_spread else {}
        if self.phase is not Phase.RUN:
            with workspace.open_catalog() as catalog:
                for note in carry_over(catalog, config.collected).notes:
                    progress.warn(note)
        from flows.timing.estimate import run_timed  # its modules, which `--help` need not wait for

        options = self.later_rounds if round_number > 1 else {}
        run, reports = importlib.import_module(self.module).run, Remembering(progress)
        counts = run_timed(
            self.name, workspace, config, reports, lambda: run(workspace, config, reports, **options, **spread)
        )
        for note in counts.notes:
            if note not in reports.told:
                progress.say(note)
        return counts


STEPS = (
    Step("inbox", "collectors.inbox", Phase.ARRIVAL, "Take in the pictures that were dropped into the inbox."),
    Step(
        "refresh",
        "collectors.refresh",
        Phase.ARRIVAL,
        "Ask again the searches that already ran, for what is new.",
        uses_network=True,
    ),
    Step(
        "search",
        "collectors.search",
        Phase.COLLECT,
        "Search every source for every keyword, and record the hits in the catalogue.",
        uses_network=True,
        later_rounds={"retry_failed": False},
    ),
    Step(
        "download",
        "collectors.download",
        Phase.COLLECT,
        "Download the hits, and record every outcome with its reason.",
        uses_network=True,
        later_rounds={"warn_of_contact": False},
        is_spread=True,
    ),
    Step(
        "clean",
        "preprocessing.clean",
        Phase.COLLECT,
        "Decode, check and compare the pictures: broken, unusable and duplicate ones are dropped or flagged.",
        is_spread=True,
    ),
    Step(
        "features",
        "training.network.features",
        Phase.DATASET,
        "Compute the backbone's features of every kept picture, once.",
        is_spread=True,
    ),
    Step(
        "curate",
        "preprocessing.curate",
        Phase.DATASET,
        "Propose off-topic pictures and label errors by their features; a person decides in `review`.",
        is_spread=True,
    ),
    Step(
        "split",
        "preprocessing.split",
        Phase.DATASET,
        "Freeze the dataset as training, validation and test splits; copies and creators stay together.",
    ),
    Step(
        "train",
        "training.train",
        Phase.RUN,
        "Fit the head on cached features and fine-tune the last stages; held-out pictures decide what ships.",
    ),
    Step("evaluate", "training.evaluate", Phase.RUN, "Evaluate the saved model on the test pictures."),
    Step("report", "training.report.write", Phase.RUN, "Write report.html and the model card."),
    Step(
        "publish",
        "training.publish",
        Phase.RUN,
        "Make the latest model the live one, if it is better than the present one.",
    ),
)
"""Every step, in the order of the path."""


def find_step(name: str) -> Step:
    """Return the step of this name.

    Example:
        >>> find_step("download").uses_network
        True

    Raises:
        KeyError: there is none.
    """
    return {step.name: step for step in STEPS}[name]


def steps_of(*phases: Phase) -> tuple[str, ...]:
    """Return the names of the steps of these phases, in the order of the path.

    Example:
        >>> steps_of(Phase.COLLECT)
        ('search', 'download', 'clean')
    """
    return tuple(step.name for step in STEPS if step.phase in phases)


def step_function(name: str) -> Callable[..., StepCounts]:
    """Return a step as a function `(workspace, config, progress, round_number)`, for notebooks and tests.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from workspace.resolve import open_workspace
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     workspace, config = open_workspace(Path(folder), ["red panda", "raccoon"])
        ...     step_function("clean")(workspace, config)  # nothing was downloaded yet
        StepCounts(step='clean', done=0, reused=0, by_reason={'kept': 0, 'same_bytes': 0}, notes=())
    """
    return find_step(name).run
