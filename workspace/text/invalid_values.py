"""What pydantic refuses, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from workspace.text.counts import counted

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_LONGEST = 60  # characters of a value that are shown

NO_SUCH_NAME = "extra_forbidden"
"""The type of a problem with a name that nothing has."""

# By the beginning of pydantic's name for a type of problem. A text is shown only where a number or one of a few words
# belongs: elsewhere it may be a password in the wrong place.
_WORDS: Mapping[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "missing": lambda value, _: "it is missing",
    NO_SUCH_NAME: lambda value, _: "there is no such name",
    "int_": lambda value, _: f"{_shown(value)} is not a whole number",
    "float_": lambda value, _: f"{_shown(value)} is not a number",
    "finite_": lambda value, _: f"{_shown(value)} is not a number",
    "bool_": lambda value, _: f"{_shown(value)} is neither true nor false",
    "string_too_long": lambda value, limit: f"it is longer than {limit['max_length']} characters",
    "string_too_short": lambda value, limit: f"it is shorter than {limit['min_length']} characters",
    "string_": lambda value, _: "it must be a text, in quotes",
    "tuple_": lambda value, _: 'it must be a list, such as ["a", "b"]',
    "list_": lambda value, _: 'it must be a list, such as ["a", "b"]',
    "dict_": lambda value, _: "it must be a section of names and values",
    "mapping_": lambda value, _: "it must be a section of names and values",
    "model_": lambda value, _: "it must be a section of names and values",
    "literal_": lambda value, limit: f"{_shown(value)} is not one of {limit['expected'].replace(' or ', ', ')}",
    "enum": lambda value, limit: f"{_shown(value)} is not one of {limit['expected'].replace(' or ', ', ')}",
    "greater_than_equal": lambda value, limit: f"{_shown(value)} is too low: it must be at least {limit['ge']:g}",
    "greater_than": lambda value, limit: f"{_shown(value)} is too low: it must be more than {limit['gt']:g}",
    "less_than_equal": lambda value, limit: f"{_shown(value)} is too high: it must be at most {limit['le']:g}",
    "less_than": lambda value, limit: f"{_shown(value)} is too high: it must be less than {limit['lt']:g}",
    "too_long": lambda value, limit: f"it has more than {counted(limit['max_length'], 'entry')}",
    "too_short": lambda value, limit: f"it has fewer than {counted(limit['min_length'], 'entry')}",
    "json_": lambda value, _: "it is no JSON",
    "path_": lambda value, _: f"{_shown(value)} cannot be a path",
}


def words_of(problem: ErrorDetails) -> str:
    """Write one problem as a sentence without its place.

    Example:
        >>> words_of({"type": "int_parsing", "loc": (), "msg": "Input should be …", "input": "two"})
        "'two' is not a whole number"
    """
    kind = problem["type"]
    words = next((words for begin, words in _WORDS.items() if kind.startswith(begin)), None)
    if words is None:  # our own validators' sentences among them
        return problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return words(problem.get("input"), problem.get("ctx", {}))


def located(error: ValidationError, whole: str = "the file") -> list[str]:
    """Write every problem with its dotted place before it; what concerns all of it stands under `whole`."""
    return [f"{place_of(problem) or whole}: {words_of(problem)}" for problem in error.errors()]


def place_of(problem: ErrorDetails) -> str:
    """Return the dotted place of a problem; empty for the whole."""
    return ".".join(map(str, problem["loc"]))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
