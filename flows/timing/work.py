"""The work that is left for each step, counted from the catalogue and the latest run without doing any of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from collectors.inbox import waiting_by_class
from collectors.sources.local.layout import read_photo_layout
from training.fit.schedule import epochs_for, last_epochs
from workspace.catalog.catalog import Catalog
from workspace.catalog.class_progress import ClassProgress, class_progress
from workspace.catalog.curation import FEATURE_STAGES
from workspace.catalog.hits.questions import Questions
from workspace.catalog.records import StepCounts
from workspace.config.collect import ALL_PICTURES
from workspace.config.model import WorkspaceConfig
from workspace.errors import CollectAndTrainError, WorkspaceError
from workspace.storage.arrays import latest_features, latest_features_name
from workspace.storage.champion import read_champion, read_decisions
from workspace.storage.paths import Workspace
from workspace.storage.run import model_settings, open_run
from workspace.storage.run_folder import RunFolder

_COUNTS_ITS_WORK = ("search", "download", "clean", "features")
"""Steps whose `done` is the work that they did; that of the others is what was planned."""


@dataclass(frozen=True, slots=True)
class Work:
    """Work of a step.

    Attributes:
        unit: what is counted, in the plural.
        key: what its speed depends on, by the settings.
        left: units of it; None where it is not known before an earlier step.
    """

    unit: str
    key: str
    left: int | None


def work_left(step: str, workspace: Workspace, config: WorkspaceConfig) -> Work | None:
    """Count the work that a step would have, if every step before it had done its own; None for one that is quick.

    Raises:
        CollectAndTrainError: the workspace cannot be read.
    """
    return _WORK[step](_State(workspace, config)) if step in _WORK else None


def work_done(step: str, workspace: Workspace, planned: Work, counts: StepCounts) -> int:
    """Count the work of a step that has just ended; 0 where its time says nothing about the speed of such work."""
    if not counts.done:
        return 0
    if step in _COUNTS_ITS_WORK:
        return counts.done
    if step == "train":
        from training.fit.history import History  # loads scikit-learn, which takes a second

        if not History.read(open_run(workspace).folder.history_file).finetune:
            return 0  # views were planned and none was learnt from: the seconds are those of the head
    return planned.left or 0


class _State:
    """The state of a workspace, read as far as it is asked for."""

    def __init__(self, workspace: Workspace, config: WorkspaceConfig) -> None:
        self.workspace, self.config = workspace, config

    @cached_property
    def progress(self) -> Mapping[str, ClassProgress]:
        if not self.workspace.has_catalog():
            return {label: ClassProgress(label) for label in self.config.collected}
        with self.workspace.open_catalog() as catalog:
            return class_progress(catalog, self.config.collected, Questions.of(self.config))

    @cached_property
    def in_inbox(self) -> Mapping[str, int]:
        """Files by class that are not taken in yet."""
        return waiting_by_class(self.workspace, self.config)

    def to_search(self, state: ClassProgress) -> int:
        """Files that a class still needs from its sources, beside those of the inbox."""
        return max(0, state.still_to_fetch(self.config.search.per_class) - self.in_inbox.get(state.label, 0))

    @cached_property
    def to_find(self) -> int | None:
        """Hits that search will still bring."""
        search, states = self.config.search, self.progress.values()
        if search.per_class < ALL_PICTURES:
            return sum(max(0, self.to_search(state) - state.waiting) for state in states)
        if search.sources != ("folder",):
            return None  # as many as there are, which nobody knows
        try:
            layout = read_photo_layout(search.folder.place)
        except CollectAndTrainError:
            return None
        there = {
            label: sum(not layout.why_not_image(name) for word in words for name in layout.files(word).versions)
            for label, words in self.config.classes.items()
        }
        return sum(max(0, there.get(state.label, 0) - state.found) for state in states)

    @cached_property
    def to_fetch(self) -> int | None:
        if self.to_find is None:
            return None
        return self.to_find + sum(min(state.waiting, self.to_search(state)) for state in self.progress.values())

    @cached_property
    def to_examine(self) -> int | None:
        """Files to decode; of those that cannot be fetched some are counted too many."""
        if self.to_fetch is None:
            return None
        return self.to_fetch + sum(state.unjudged for state in self.progress.values()) + sum(self.in_inbox.values())

    @cached_property
    def kept(self) -> list[tuple[str, str]]:
        if not self.workspace.has_catalog():
            return []
        with self.workspace.open_catalog() as catalog:
            return _of_classes(catalog, self.config)

    @cached_property
    def to_come(self) -> int | None:
        """Pictures that will be kept of those that are still to be examined, by the share that was kept so far."""
        if self.to_examine is None:
            return None
        settled = sum(state.settled for state in self.progress.values())
        share = (len(self.kept) + 1) / (settled + 1) if settled else 1.0
        return round(self.to_examine * min(1.0, share))

    @cached_property
    def without_features(self) -> int | None:
        if self.to_come is None:
            return None
        name = latest_features_name(self.workspace)
        backbone = self.config.train.backbone.replace(":", "-")
        if name is None or not name.startswith(f"features-{backbone}-"):
            return len(self.kept) + self.to_come
        store = latest_features(self.workspace)
        return len(store.missing(sha256 for sha256, _ in self.kept)) + self.to_come

    @cached_property
    def run(self) -> RunFolder | None:
        """The latest run, where it is what `split` would make now: the same pictures and settings."""
        try:
            run = open_run(self.workspace)
            if self.to_come or model_settings(run.config) != model_settings(self.config):
                return None
            samples = {(sample.sha256, sample.label) for sample in run.samples()}
        except WorkspaceError:
            return None
        return run.folder if samples == set(self.kept) else None

    @cached_property
    def dataset(self) -> int | None:
        """Pictures of the run that will be trained on."""
        return None if self.to_come is None else len(self.kept) + self.to_come

    def passes(self) -> int | None:
        """Views of pictures that fine-tuning will learn from, by the schedule of training/fit/schedule.py."""
        if self.dataset is None:
            return None
        split, train = self.config.split, self.config.train
        everything = round(self.dataset * (split.train + split.val))
        held_in = round(everything * (train.folds - 1) / train.folds)
        epochs = epochs_for(max(1, held_in)) if train.epochs == "auto" else train.epochs
        return max(1, held_in * epochs + everything * last_epochs(epochs) if epochs else everything)


def _of_classes(catalog: Catalog, config: WorkspaceConfig) -> list[tuple[str, str]]:
    return [pair for pair in catalog.kept(ignoring=FEATURE_STAGES) if pair[1] in config.classes]


def _search(state: _State) -> Work:
    return Work("hits", "+".join(state.config.search.sources), state.to_find)


def _download(state: _State) -> Work:
    return Work("files", "+".join(state.config.search.sources), state.to_fetch)


def _clean(state: _State) -> Work:
    return Work("pictures", f"workers={state.config.clean.workers}", state.to_examine)


def _features(state: _State) -> Work:
    return Work("pictures", _network(state.config), state.without_features)


def _curate(state: _State) -> Work:
    left = 0 if state.run is not None else state.dataset
    return Work("pictures", "", left)


def _train(state: _State) -> Work:
    done = state.run is not None and state.run.has_model
    return Work("views of pictures", _network(state.config), 0 if done else state.passes())


def _evaluate(state: _State) -> Work:
    done = state.run is not None and state.run.metrics_file.is_file()
    return Work("pictures", _network(state.config), 0 if done else state.dataset)


def _report(state: _State) -> Work:
    done = state.run is not None and state.run.report_file.is_file()
    return Work("pictures", "", 0 if done else state.dataset)


def _publish(state: _State) -> Work:
    live = read_champion(state.workspace)
    known = {decision.run_id for decision in read_decisions(state.workspace)}
    if live is None or (state.run is not None and state.run.run_id in known):
        return Work("comparisons", _network(state.config), 0)
    left = None if state.dataset is None else round(2 * state.dataset * state.config.split.test)
    return Work("comparisons", _network(state.config), left)


def _network(config: WorkspaceConfig) -> str:
    return f"{config.train.backbone} on {config.train.device}"


_WORK: Mapping[str, Callable[[_State], Work]] = {
    "search": _search,
    "download": _download,
    "clean": _clean,
    "features": _features,
    "curate": _curate,
    "train": _train,
    "evaluate": _evaluate,
    "report": _report,
    "publish": _publish,
}
