"""The live model (champion) and the history of decisions: models/champion.json and models/decisions.jsonl.

`training.publish` and a rollback write them; the credits, the pages and the retraining read them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workspace.clock import utc_now
from workspace.errors import ConfigError, ModelError
from workspace.storage.paths import RunFolder, Workspace, write_atomic, write_json


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


def read_champion(workspace: Workspace) -> Decision | None:
    """Read the decision that made the present model live; None when nothing was published yet."""
    file = workspace.champion_file
    return Decision(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def read_decisions(workspace: Workspace) -> list[Decision]:
    """Read every decision, the earliest first."""
    file = workspace.decisions_file
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [Decision(**json.loads(line)) for line in lines if line]


def record_decision(workspace: Workspace, decision: Decision) -> None:
    """Append a decision to the history; then, where the live model changes, point to it."""
    lines = [*read_decisions(workspace), decision]
    text = "".join(json.dumps(dataclasses.asdict(line), ensure_ascii=False) + "\n" for line in lines)
    write_atomic(workspace.decisions_file, text.encode())
    _point_to(workspace, decision)


def finish_decision(workspace: Workspace) -> None:
    """Complete the history's last decision where a kill came between its two writes."""
    history, live = read_decisions(workspace), read_champion(workspace)
    if history and history[-1].champion != (live.champion if live else ""):
        _point_to(workspace, history[-1])


def answering_run(workspace: Workspace, run_id: str | None = None) -> RunFolder:
    """Choose the run whose model answers: the one named, else the champion's, else the latest.

    Raises:
        ConfigError: there is no run of that name.
        WorkspaceError: there is no run yet.
    """
    if run_id is not None:
        named = workspace.run(run_id)
        if not named.root.is_dir():
            known = ", ".join(sorted(folder.name for folder in workspace.runs.glob("*/"))) or "none"
            raise ConfigError(f"{workspace.root} has no run {run_id!r}; there are: {known}")
        return named
    champion = read_champion(workspace)
    return workspace.run(champion.champion) if champion else workspace.latest_run()


def roll_back(workspace: Workspace, run_id: str = "") -> Decision:
    """Make an earlier published model live again.

    Args:
        workspace: whose model.
        run_id: of a run that was live once; empty: the one before the present one.

    Raises:
        ModelError: nothing was published, there is no earlier one, or its model is gone; names what there is.
    """
    champion, history = read_champion(workspace), read_decisions(workspace)
    if champion is None:
        raise ModelError(
            f"{workspace.root} has published no model yet; make one with: collect-and-train run -w {workspace.root}"
        )
    once = list(dict.fromkeys(decision.champion for decision in history if decision.champion))
    earlier = [run for run in _line_of_champions(history) if run != champion.champion]
    chosen = run_id or (earlier[-1] if earlier else "")
    if not chosen or chosen not in once or chosen == champion.champion:
        others = ", ".join(name for name in once if name != champion.champion) or "none"
        asked = f"{run_id} is not among them" if run_id else "there is nothing to go back to"
        raise ModelError(f"{champion.champion} is live; other models that were live once: {others}; {asked}")
    if not workspace.run(chosen).has_model:
        raise ModelError(f"{workspace.run(chosen).model} has no model any more; put it back, or name another run")
    decision = Decision(chosen, "rolled_back", chosen, f"a person went back from {champion.champion}", utc_now())
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
        write_json(workspace.champion_file, dataclasses.asdict(decision))
