"""Every CSV table of the project goes through one writer, by which no cell is a formula."""

import ast
import csv
import io
from pathlib import Path

import pytest

from cli.predict_io import csv_lines
from preprocessing.leaks import Leak, leaks_csv
from training.inference.predict import Prediction
from workspace.text.csv_rows import csv_line

CHECKOUT = Path(__file__).parents[3]
PACKAGES = ("workspace", "collectors", "preprocessing", "training", "pages", "flows", "cli")
FORMULAS = ["=HYPERLINK(1)", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1"]


def cells(table: str) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(table, newline="")) for cell in row]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_file_whose_name_is_a_formula_is_none_in_leaks_and_predict(name: str) -> None:
    of_leaks = cells(leaks_csv([Leak("same", name, "0" * 64, f"{name}.jpg")]))
    assert of_leaks[-3:] == [f"'{name}", "0" * 64, f"'{name}.jpg"]
    of_predict = cells("\n".join(csv_lines([Prediction(f"{name}.jpg", None, f"{name}: no picture")])))
    assert f"'{name}.jpg" in of_predict and f"'{name}: no picture" in of_predict


def test_numbers_and_single_signs_are_as_they_are() -> None:
    assert csv_line([-2, 0.5, "-", "", None, 'a "b", c']) == '-2,0.5,-,,,"a ""b"", c"'


def test_no_module_writes_csv_in_another_way() -> None:
    def writes(file: Path) -> bool:
        return any(
            isinstance(node, ast.Attribute) and node.attr in {"writer", "DictWriter", "to_csv", "write_csv"}
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        )

    found = [file for package in PACKAGES for file in (CHECKOUT / package).rglob("*.py") if "csv" in file.read_text()]
    assert [file.relative_to(CHECKOUT).as_posix() for file in found if writes(file)] == ["workspace/text/csv_rows.py"]
