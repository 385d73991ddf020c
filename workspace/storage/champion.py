"""The live model (champion) and the history of decisions: models/champion.json and models/decisions.jsonl.

`training.publish` and a rollback write them; the credits, the pages and the retraining read them.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from workspace.clock import utc_now
from workspace.config.model import WorkspaceConfig, load_config
from workspace.errors import ConfigError, ModelError
from workspace.storage.paths import Workspace
from workspace.storage.run import differing_settings, execution_settings, with_settings
from workspace.storage.run_folder import RunFolder

# How to collect, when to retrain, on which machines and what to log to are as today, and so is what says where and
# how fast something is computed; all else is the live model's.
_OF_TODAY = frozenset(
    {"classes", "negatives", "search", "network", "download", "retrain", "cluster", "storage", "serve", "tracking"}
)


CHAMPION, DECISIONS = "models/champion.json", "models/decisions.jsonl"
"""The decision that made the present model live, and every decision, one JSON line each."""

_LOG = logging.getLogger("collect_and_train")
_WORDS = {"published": "published", "kept_champion": "not published", "rolled_back": "live again"}


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about a run's model: published, kept out, or rolled back to.

    `action` is `published`, `kept_champion` or `rolled_back`; `champion` is the live run's id after the decision, ""
    for none; `numbers` are those that the decision was made from; `made_at` is UTC ISO 8601.
    """

    run_id: str
    action: str
    champion: str
    why: str
    made_at: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What happened to the run's model, as people read it."""
        return _WORDS.get(self.action, self.action)  # a later version may know other actions


def read_champion(workspace: Workspace) -> Decision | None:
    """Read the decision that made the present model live; None when nothing was published yet.

    The file repeats the history's last change, so where it is damaged that one counts, with a warning.

    Raises:
        ModelError: both files are damaged.
    """
    try:
        return _pointed_to(workspace)
    except (OSError, ValueError) as error:
        found = _last_change(read_decisions(workspace))
        if found is None:
            pointer, history = workspace.files.where(CHAMPION), workspace.files.where(DECISIONS)
            raise ModelError(
                f"{pointer} cannot be used ({error}), and {history} does not "
                f"say which model is live; delete the first, and publish a model again: {workspace.command('run')}"
            ) from error
        _LOG.warning(
            "%s cannot be used (%s); by %s %s is live",
            workspace.files.where(CHAMPION),
            error,
            PurePosixPath(DECISIONS).name,
            found.champion,
        )
        return found


def read_decisions(workspace: Workspace) -> list[Decision]:
    """Read every decision, the earliest first.

    Raises:
        ModelError: the file is damaged; names the line.
    """
    decisions, line = [], 0
    try:
        for data in workspace.files.read(DECISIONS).split(b"\n"):
            line += 1
            if data.strip():
                decisions.append(_decision(data))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        where = workspace.files.where(DECISIONS)
        raise ModelError(
            f"line {line} of {where} cannot be used ({error}); restore the file, or delete the line"
        ) from error
    return decisions


def _pointed_to(workspace: Workspace) -> Decision | None:
    try:
        return _decision(workspace.files.read(CHAMPION))
    except FileNotFoundError:
        return None


def _last_change(history: Sequence[Decision]) -> Decision | None:
    return next((decision for decision in reversed(history) if decision.action != "kept_champion"), None)


def _decision(data: bytes) -> Decision:
    """Read one decision.

    Raises:
        ValueError: it is not one.
    """
    try:
        decision = Decision(**json.loads(data))
    except TypeError as error:
        raise ValueError("it is no decision about a model") from error
    if not (isinstance(decision.champion, str) and isinstance(decision.run_id, str)):
        raise ValueError("it names no run")
    return decision


def record_decision(workspace: Workspace, decision: Decision) -> None:
    """Append a decision to the history; then, where the live model changes, point to it."""
    lines = [*read_decisions(workspace), decision]
    text = "".join(json.dumps(dataclasses.asdict(line), ensure_ascii=False) + "\n" for line in lines)
    workspace.files.write(DECISIONS, text.encode())
    _point_to(workspace, decision)


def finish_decision(workspace: Workspace) -> None:
    """Point to the history's last change where a kill came between its two writes, or the pointer is damaged."""
    last = _last_change(read_decisions(workspace))
    try:
        live = _pointed_to(workspace)
    except (OSError, ValueError):
        live = None
    if last is not None and (live is None or live.champion != last.champion):
        _point_to(workspace, last)


def answering_run(workspace: Workspace, run_id: str | None = None) -> RunFolder:
    """Choose the run whose model answers: the one named, else the champion's, else the latest.

    Raises:
        ConfigError: there is no run of that name.
        WorkspaceError: there is no run yet.
    """
    if run_id is not None:
        known = workspace.run_ids()
        if run_id not in known:
            raise ConfigError(f"{workspace.root} has no run {run_id!r}; there are: {', '.join(known) or 'none'}")
        return workspace.run(run_id)
    champion = read_champion(workspace)
    return workspace.run(champion.champion) if champion else workspace.latest_run()


def roll_back(workspace: Workspace, run_id: str = "") -> Decision:
    """Make another model live by a person's decision: an earlier live one, or one that was not published.

    Args:
        workspace: whose model.
        run_id: of a run that was decided on; empty: the one that was live before the present one.

    Raises:
        ModelError: nothing was published, there is no earlier one, or its model is gone; names what there is.
    """
    champion, history = read_champion(workspace), read_decisions(workspace)
    if champion is None:
        raise ModelError(f"{workspace.root} has published no model yet; make one with: {workspace.command('run')}")
    live = champion.champion
    once = {decision.champion for decision in history if decision.champion}
    decided = dict.fromkeys(run for decision in history for run in (decision.champion, decision.run_id) if run)
    earlier = [run for run in _line_of_champions(history) if run != live]
    chosen = run_id or (earlier[-1] if earlier else "")
    if not chosen or chosen not in decided or chosen == live:
        others = ", ".join(name if name in once else f"{name} (never live)" for name in decided if name != live)
        asked = f"{run_id} is not among them" if run_id else "there is nothing to go back to"
        raise ModelError(f"{live} is live; other models that were decided on: {others or 'none'}; {asked}")
    folder = workspace.run(chosen)
    if not folder.has_model:
        raise ModelError(f"{folder.model} has no model any more; put it back, or name another run")
    action, why = ("rolled_back", "went back from") if chosen in once else ("published", "published it in place of")
    decision = Decision(chosen, action, chosen, f"a person {why} {live}", utc_now())
    record_decision(workspace, decision)
    return decision


def _line_of_champions(history: list[Decision]) -> list[str]:
    """List the models that a rollback goes back through, the live one last; those rolled back from are not in it."""
    line: list[str] = []
    for decision in history:
        if decision.action == "published":
            line.append(decision.champion)
        elif decision.action == "rolled_back" and decision.champion in line:
            del line[line.index(decision.champion) + 1 :]
    return line


def _point_to(workspace: Workspace, decision: Decision) -> None:
    if decision.action != "kept_champion":
        text = json.dumps(dataclasses.asdict(decision), indent=2, ensure_ascii=False) + "\n"
        workspace.files.write(CHAMPION, text.encode())


@dataclass(frozen=True, slots=True)
class ChampionSettings:
    """The settings of a retraining.

    Attributes:
        config: those that the live model was trained with, but classes and collection of workspace.toml.
        differing: dotted names of those that workspace.toml gives another value.
        missing: the live model's config.toml where it is gone, and all of workspace.toml counts; None where it is not.
    """

    config: WorkspaceConfig
    differing: tuple[str, ...] = ()
    missing: Path | None = None


def settings_of_champion(
    workspace: Workspace, today: WorkspaceConfig, overrides: dict[str, Any] | None = None
) -> ChampionSettings:
    """Read the settings that the live model was trained with, for a retraining.

    Args:
        workspace: whose live model; where there is none, or its settings are gone, those of workspace.toml count.
        today: the settings of workspace.toml, with the overrides.
        overrides: settings by dotted name that win over both.

    Raises:
        ConfigError: the live model's settings, or the overrides, do not hold.
    """
    champion = read_champion(workspace)
    if champion is None:
        return ChampionSettings(load_config(workspace.config_file, overrides))
    file = workspace.run(champion.champion, "config.toml").config_file
    if not file.is_file():
        return ChampionSettings(load_config(workspace.config_file, overrides), missing=file)
    config = load_config(file, overrides, frozen=True).model_copy(
        update={name: getattr(today, name) for name in _OF_TODAY}
    )
    config = with_settings(config, execution_settings(today))
    return ChampionSettings(config, tuple(differing_settings(config, today)))
