"""What a new class costs a trained workspace, beside a workspace that is made with all classes at once.

    python -m benchmarks.new_class PHOTOS [--new CLASS] [--folder /tmp/new-class] [--set train.epochs=0 …]

PHOTOS has a folder per class. One workspace is trained without the new class (the last by name), which is then added
to its workspace.toml; another is made of all of them. Printed are seconds and passes of pictures through the network
(every view that enters its first layer) by step, for the added class and for the whole made anew.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from flows.collecting import run_all_steps
from flows.inputs import open_inputs
from flows.step_table import find_step
from workspace.catalog.records import StepCounts
from workspace.resolve import class_line, open_workspace, parse_overrides
from workspace.storage.paths import Workspace


@dataclass
class Cost:
    """Seconds, and pictures through the network, by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)


def main() -> None:
    """Measure both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--new", help="the class that is added; the last by name")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/new-class"), help="emptied first")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    classes = sorted(folder.name for folder in arguments.photos.iterdir() if folder.is_dir())
    new = arguments.new or classes[-1]
    rest, settings = [name for name in classes if name != new], parse_overrides(arguments.settings)
    grown = open_inputs(arguments.folder / "grown", rest, arguments.photos, settings).workspace
    run_measured(grown)
    text = grown.config_file.read_text(encoding="utf-8")
    grown.config_file.write_text(
        text.replace(f"{class_line(rest[-1])}\n", f"{class_line(rest[-1])}\n{class_line(new)}\n")
    )
    added = run_measured(grown)
    fresh = run_measured(open_inputs(arguments.folder / "fresh", classes, arguments.photos, settings).workspace)
    print(f"{arguments.photos.name}: {new!r} added to {len(rest)} classes, beside all {len(classes)} made anew\n")
    print(f"{'step':<12}{'added s':>10}{'anew s':>10}{'added passes':>15}{'anew passes':>15}")
    for step in fresh.seconds:
        numbers = f"{added.seconds.get(step, 0):>10.1f}{fresh.seconds[step]:>10.1f}"
        print(f"{step:<12}{numbers}{added.passes.get(step, 0):>15,}{fresh.passes[step]:>15,}")
    print(
        f"{'together':<12}{sum(added.seconds.values()):>10.1f}{sum(fresh.seconds.values()):>10.1f}"
        f"{sum(added.passes.values()):>15,}{sum(fresh.passes.values()):>15,}"
    )


def run_measured(workspace: Workspace) -> Cost:
    """Run every step, and measure each."""
    _, config = open_workspace(workspace.root)
    cost = Cost()

    def run_step(name: str, number: int) -> StepCounts:
        began = time.monotonic()
        with counted_passes() as passes:
            counts = find_step(name).run(workspace, config, round_number=number)
        cost.seconds[name] = cost.seconds.get(name, 0.0) + time.monotonic() - began
        cost.passes[name] = cost.passes.get(name, 0) + passes()
        return counts

    run_all_steps(workspace, config, run_step)
    return cost


@contextmanager
def counted_passes() -> Iterator[Callable[[], int]]:
    """Count the pictures that enter the first layer of any network: a convolution on three channels."""
    count = 0

    def look(module: nn.Module, inputs: Any) -> None:
        nonlocal count
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and isinstance(inputs[0], torch.Tensor):
            count += len(inputs[0])

    hook = nn.modules.module.register_module_forward_pre_hook(look)
    try:
        yield lambda: count
    finally:
        hook.remove()


if __name__ == "__main__":
    main()
