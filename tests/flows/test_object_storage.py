"""A workspace whose files are in object storage: the same results as in its folder, and every command works."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.support.object_storage import BUCKET
from cli.main import app
from flows.step_table import Phase, steps_of
from workspace.resolve import open_workspace
from workspace.storage.paths import Workspace

pytestmark = pytest.mark.cluster

CLASSES = ("cyan", "magenta")
STEPS = steps_of(Phase.COLLECT, Phase.DATASET, Phase.RUN)


@dataclass(frozen=True)
class Built:
    """A workspace in its folder, and one elsewhere."""

    local: Workspace
    placed: Workspace
    address: str


def run(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, (words, done.output, repr(done.exception))
    return done.output


@pytest.fixture(scope="module")
def built(
    storage_server: Mapping[str, str], quick: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Built:
    address = f"s3://{BUCKET}/{secrets.token_hex(6)}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in storage_server.items():
            patch.setenv(name, value)
        root = tmp_path_factory.mktemp("workspaces")
        local, _ = open_workspace(root / "same", CLASSES, quick)
        placed, _ = open_workspace(root / "placed" / "same", CLASSES, quick | {"storage.files": address})
        for workspace in (local, placed):
            for step in STEPS:
                run(step, "-w", workspace.root)
    return Built(local, placed, address)
