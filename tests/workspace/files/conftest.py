"""Fixture: a place for files, in a folder and in object storage."""

import secrets
from pathlib import Path

import pytest

from benchmarks.support.object_storage import BUCKET
from workspace.files.base import Files
from workspace.files.local import LocalFiles
from workspace.files.objects import ObjectFiles


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.cluster)])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "local":
        return LocalFiles(tmp_path)
    request.getfixturevalue("object_storage")
    return ObjectFiles(f"s3://{BUCKET}/{secrets.token_hex(6)}/things")
