"""What is said where an extra is missing; which exceptions there are is documented in workspace/errors.py."""

import errno
import os
import tomllib
from pathlib import Path

import pytest

from collectors.http.recording_files import unwritable
from workspace.config.model import load_config
from workspace.errors import CollectAndTrainError, ExtraMissing, needs_extra, os_failure
from workspace.files.scratch import scratch_folder
from workspace.resolve import open_workspace
from workspace.storage.lock import hold
from workspace.storage.paths import Workspace

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


def test_a_missing_package_is_named_with_the_extra_that_brings_it_and_how_to_install_that() -> None:
    with pytest.raises(ExtraMissing) as caught, needs_extra("export", "an ONNX export"):
        import no_such_package.at_all  # noqa: F401  # type: ignore[import-not-found]
    assert str(caught.value) == (
        "an ONNX export needs no_such_package, which the extra `export` brings: "
        "pip install 'FILE.whl[export]', or in a checkout: pip install -e '.[export]'"
    )
    assert isinstance(caught.value, CollectAndTrainError)


def test_the_packages_of_an_extra_are_asked_for_where_they_are_used(monkeypatch, tmp_path) -> None:
    """Through the function that `export --to onnx` calls."""
    import sys

    from training.inference.export import export_onnx

    assert {"export", "heif"} <= EXTRAS.keys()
    for missing in ("onnx", "onnxruntime", "onnxscript"):
        with monkeypatch.context() as patch, pytest.raises(ExtraMissing, match=f"needs {missing}, .* extra `export`"):
            patch.setitem(sys.modules, missing, None)
            export_onnx(None, [], tmp_path)  # type: ignore[arg-type]


def test_a_part_of_the_path_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("words")
    workspace = Workspace(tmp_path / "notes" / "ws")

    def refuse(error: CollectAndTrainError) -> None:
        raise error

    writes = {
        "workspace.toml": lambda: open_workspace(workspace.root, ["cat", "dog"]),
        "a settings file": lambda: load_config(workspace.config_file),
        "the lock": lambda: hold(workspace, "split").__enter__(),
        "the catalogue": lambda: workspace.open_catalog(),
        "a scratch folder": lambda: scratch_folder(workspace.scratch),
        "the recording": lambda: refuse(
            unwritable(workspace.root, NotADirectoryError(errno.ENOTDIR, "Not a directory"))
        ),
    }
    for what, write in writes.items():
        with pytest.raises(CollectAndTrainError) as caught:
            write()
        assert f"{tmp_path}/notes is a file, not a folder; name another folder" in str(caught.value), what
        assert "free some space" not in str(caught.value), what


@pytest.mark.parametrize(("number", "remedy"), [(errno.EACCES, "permission"), (errno.ENOSPC, "free some space")])
def test_the_remedy_fits_the_cause(number: int, remedy: str, tmp_path: Path) -> None:
    assert remedy in os_failure(OSError(number, os.strerror(number)), tmp_path, "otherwise")
    assert (
        os_failure(OSError(errno.EIO, "Input/output error"), tmp_path, "otherwise") == "Input/output error; otherwise"
    )
