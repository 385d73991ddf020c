"""The command `estimate`: how long what is left will take."""

from __future__ import annotations

from cli import output
from cli.app import WHOLE_PATH, Folder, Settings, app
from cli.documents.runs import Estimate, EstimateLine
from cli.given_settings import tell_given
from workspace.config.template import set_options
from workspace.resolve import open_workspace, parse_overrides
from workspace.storage.run import latest_own_settings
from workspace.terminal import say


@app.command(rich_help_panel=WHOLE_PATH)
def estimate(folder: Folder, settings: Settings = None) -> None:
    """Say how long each step will take for what is left, and where each number comes from.

    A step that was never measured on this machine is unknown: the first run measures it.
    """
    from flows.step_table import Phase, steps_of
    from flows.timing.estimate import estimate_steps

    overrides = parse_overrides(settings or [])
    workspace, config = open_workspace(folder, (), overrides)
    tell_given(workspace, overrides)
    if not overrides and (own := set_options(latest_own_settings(workspace, config))):
        say(
            f"With the settings of workspace.toml. The latest run has others of its own; with them: "
            f"{workspace.command('estimate')}{own}"
        )
    steps = estimate_steps(steps_of(Phase.COLLECT, Phase.DATASET, Phase.RUN), workspace, config)
    known = [step.seconds for step in steps if step.seconds is not None]
    document = Estimate(
        workspace=str(folder),
        seconds=sum(known) if known else None,
        complete=len(known) == len(steps),
        steps=[
            EstimateLine(
                step=step.step, units=step.work.left, unit=step.work.unit, seconds=step.seconds, basis=step.basis
            )
            for step in steps
        ],
    )
    output.answer(document, lambda: _text(document))


def _text(found: Estimate) -> str:
    from rich.table import Table

    from workspace.clock import duration
    from workspace.terminal import rendered

    table = Table("step", "left", "time", "where the number comes from", show_edge=False, pad_edge=False)
    for step in found.steps:
        left = "?" if step.units is None else f"{step.units:,} {step.unit}"
        told = "unknown" if step.seconds is None else f"about {duration(step.seconds)}" if step.units else "-"
        table.add_row(step.step, left, told, step.basis)
    if found.seconds is None:
        total = "unknown: nothing that is left was measured on this machine yet"
    elif not any(step.units is None or step.units for step in found.steps):
        total = "nothing is left to do"
    else:
        total = f"about {duration(found.seconds)}" + ("" if found.complete else ", and what is unknown")
    return f"{rendered(table)}{'together':<12}{total}"
