"""Which model is live, and every decision about it: models/champion.json and models/decisions.jsonl.

Only `training.publish` writes them; the credits, the pages and the retraining read them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workspace.paths import Workspace, write_atomic, write_json


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a run's model.

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
    """The decision that made the live model live, or None when nothing was published yet."""
    file = workspace.champion_file
    return Decision(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def read_decisions(workspace: Workspace) -> list[Decision]:
    """Every decision, the first one first."""
    file = workspace.decisions_file
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [Decision(**json.loads(line)) for line in lines if line]


def record_decision(workspace: Workspace, decision: Decision) -> None:
    """Add to the history, and then, where the live model changes, point to it."""
    lines = [*read_decisions(workspace), decision]
    text = "".join(json.dumps(dataclasses.asdict(line), ensure_ascii=False) + "\n" for line in lines)
    write_atomic(workspace.decisions_file, text.encode())
    if decision.action != "kept_champion":
        write_json(workspace.champion_file, dataclasses.asdict(decision))
