import tarfile
from pathlib import Path

import pytest

from training.export.job import ExportJob
from workspace.storage.paths import Workspace

FIXTURE = Path(__file__).parents[3] / "fixtures" / "workspace_f6f4cc8" / "workspace.tar.xz"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace of a small trained and calibrated model; tests only read it."""
    folder = tmp_path_factory.mktemp("devices")
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(folder, filter="data")
    return Workspace(folder / "workspace")


@pytest.fixture(scope="session")
def job(trained: Workspace) -> ExportJob:
    made = ExportJob(trained, trained.latest_run())
    assert made.model.calibration and made.model.calibration.limits[0].max_distance is not None
    return made
