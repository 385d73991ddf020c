import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from preprocessing.quality.checks import CHECKS
from workspace import reasons
from workspace.reasons import REASONS, find_reason, in_order, is_retryable, order_of, reasons_table, words_for

ROOT = Path(__file__).parents[2]
PACKAGES = ("workspace", "collectors", "preprocessing", "training", "flows", "pages")

# Where a call takes its reason, by position; `reason=` and `error=` are found by their names.
POSITION = {"SourceFailed": 0, "TransferFailed": 1, "AttemptFailed": 0, "ImageRefused": 0, "FailedJob": 1, "Finding": 1}
POSITION |= {"Download": 2, "Verdict": 4}
RECORDS = {*POSITION, "replace", "Search", "ImageFacts"}

METHODS = {"kind"}
"""Methods that return a reason, or an empty text; functions that do are found where they are called."""


def literals(node: ast.expr, module: str, function: ast.AST) -> Iterator[str]:
    """Every text that an expression may be, through names; the start of an f-string ends with a `*`."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=[ast.Constant(value=start), *_]):
            yield f"{start}*"
        case ast.IfExp(body=body, orelse=orelse):
            yield from literals(body, module, function)
            yield from literals(orelse, module, function)
        case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[_, default]):
            yield from literals(table, module, function)
            yield from literals(default, module, function)
        case ast.Call(func=ast.Name(id=name)):
            called = vars(importlib.import_module(module)).get(name)
            if inspect.isfunction(called):
                tree = ast.parse(inspect.getsource(called))
                for node in ast.walk(tree):
                    if isinstance(node, ast.Return) and node.value:
                        yield from literals(node.value, called.__module__, tree)
        case ast.Dict(values=values):
            for value in values:
                yield from literals(value, module, function)
        case ast.Name(id=name) if own := assigned(name, function):
            for value in own:
                yield from literals(value, module, function)
        case ast.Name(id=name) if name not in parameters(function):
            found = vars(importlib.import_module(module)).get(name, "")
            yield from (value for value in (found.values() if isinstance(found, dict) else [found]))


def assigned(name: str, function: ast.AST) -> list[ast.expr]:
    """What a function assigns to a name of its own."""
    return [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets)
    ]


def parameters(function: ast.AST) -> set[str]:
    return {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}


def written() -> Iterator[tuple[str, str, str]]:
    """(reason, status or empty, where) of every reason that the code raises, returns or records."""
    for file in sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        if file.name == "reasons.py":
            continue
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                where = f"{name}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.Return) and node.value and function.name in METHODS:
                    yield from ((text, "", where) for text in literals(node.value, name, function))
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                    continue
                if (called := node.func.id) not in RECORDS:
                    continue
                position = POSITION.get(called, len(node.args))
                arguments = node.args[position : position + 1]
                arguments += [word.value for word in node.keywords if word.arg in {"reason", "error"}]
                for text in (text for argument in arguments for text in literals(argument, name, function)):
                    yield text, _status(called, node), where


def _status(called: str, node: ast.Call) -> str:
    """The status that is written beside a reason, where it is written out."""
    stated = {word.arg: word.value for word in node.keywords}.get("status")
    if called in {"TransferFailed", "Download"}:
        stated = node.args[0 if called == "TransferFailed" else 1]
    return stated.value if isinstance(stated, ast.Constant) else ""


def imported() -> Iterator[str]:
    """The constants of workspace/reasons.py that the code uses."""
    for file in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "workspace.reasons":
                yield from (name.name for name in node.names if name.name.isupper() and name.name != "REASONS")


WRITTEN = [row for row in written() if row[0]]


def entries_of(text: str) -> list[str]:
    """The entries for a text that the code writes; an f-string is that of every family that starts like it."""
    if text.endswith("*"):
        return [name for name in REASONS if name.startswith(text[:-1])]
    return [found.name] if (found := find_reason(text)) else []


def test_every_reason_that_the_code_writes_has_an_entry() -> None:
    assert len(WRITTEN) > 60
    assert [(text, where) for text, _, where in WRITTEN if not entries_of(text)] == []
    assert [reason for reason in CHECKS if reason not in REASONS] == []


def test_every_entry_is_written_by_the_code() -> None:
    used = {name for text, _, _ in WRITTEN for name in entries_of(text)} | CHECKS.keys()
    used |= {getattr(reasons, name) for name in imported() if getattr(reasons, name) in REASONS}
    assert REASONS.keys() - used == set()


def test_a_status_written_beside_a_reason_is_the_outcome_of_its_entry() -> None:
    differing = [
        (text, status, where)
        for text, status, where in WRITTEN
        if status
        for name in entries_of(text)
        if REASONS[name].outcome != status
    ]
    assert differing == []


def test_every_entry_has_words_a_stage_and_an_outcome() -> None:
    for reason in REASONS.values():
        assert reason.words.strip() and reason.words[0].islower() or reason.words.startswith("robots"), reason
        assert reason.outcome in {
            "failed",
            "exhausted",
            "refused",
            "skipped",
            "withdrawn",
            "drop",
            "flag",
            "judged",
            "leak",
        }, reason
        assert reason.source_state in {"down", "blocked", "changed"}, reason
    stages = list(dict.fromkeys(reason.stage for reason in REASONS.values()))
    assert stages == ["search", "download", "decode", "check", "copy", "curate", "leak"]  # each in one piece
    assert not any(reason.retryable for reason in REASONS.values() if reason.outcome != "failed")


def test_the_checks_are_in_the_order_in_which_they_are_asked() -> None:
    assert sorted(CHECKS, key=order_of) == list(CHECKS)


@pytest.mark.parametrize(
    ("name", "entry"),
    [("http_503", "http_5xx"), ("http_404", "http_xxx"), ("http_408", "http_408"), ("http_5000", None), ("new", None)],
)
def test_a_family_of_reasons_is_one_entry(name: str, entry: str | None) -> None:
    found = find_reason(name)
    assert (found.name if found else None) == entry
    assert is_retryable(name) == (entry in {"http_5xx", "http_408"})


def test_counts_are_in_the_order_of_the_registry_and_an_unknown_reason_is_kept() -> None:
    counts = {"zebra": 1, "blank": 2, "alpha": 3, "timeout": 4, "http_503": 5, "near_copy": 6}
    assert list(in_order(counts).items()) == [
        ("timeout", 4), ("http_503", 5), ("blank", 2), ("near_copy", 6), ("alpha", 3), ("zebra", 1),
    ]  # fmt: skip
    assert words_for("zebra") == ""
    assert list(in_order({"refused: svg": 1, "failed: http_404": 1, "search: timeout": 2})) == [
        "search: timeout", "failed: http_404", "refused: svg",
    ]  # fmt: skip


def test_the_page_about_files_lists_the_registry() -> None:
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert reasons_table() in text, "put what `python -m workspace.reasons` prints into data/README.md"
