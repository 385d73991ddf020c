"""What is said where an extra is missing; which exceptions there are is documented in workspace/errors.py."""

import tomllib
from pathlib import Path

import pytest

from workspace.errors import CollectAndTrainError, ExtraMissing, needs_extra

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
