"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
import re
from typing import Any

from typer.main import get_command

import cli.main  # noqa: F401 (every command registers itself)
from cli.app import app

_INTRO = """\
# Command line

Every command, as `collect-and-train COMMAND --help` shows it. These options belong to all of them:

| option | meaning |
|---|---|
"""


def commands_page() -> str:
    """Write every command with its arguments and options, in the order and the groups of `--help`."""
    group: Any = get_command(app)
    panels: dict[str, list[str]] = {}
    for name, command in group.commands.items():
        panels.setdefault(command.rich_help_panel, []).extend(_command(name, command))
    context = group.make_context("collect-and-train", [], resilient_parsing=True)
    options = [row for param in group.params if (row := _row(param, context))]
    parts = [line for panel, lines in panels.items() for line in (f"## {panel}", "", *lines)]
    return _INTRO + "\n".join([*options, "", group.epilog, "", *parts]) + "\n"


def _command(name: str, command: Any) -> list[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(["collect-and-train", name, *command.collect_usage_pieces(context)])
    parts = [f"### {name}", "", "```text", usage, "```", "", *_help(command.help), ""]
    rows = [record for param in command.params if param.name != "quiet" and (record := _row(param, context))]
    if rows:
        parts += ["| argument or option | meaning |", "|---|---|", *rows, ""]
    return parts


def _help(text: str) -> list[str]:
    """Write the help, its examples as code."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text))]
    lines: list[str] = []
    for paragraph in paragraphs:
        example = re.fullmatch(r"Example: (.*)", paragraph)
        lines += ["```sh", example[1], "```", ""] if example else [_escaped(paragraph), ""]
    return lines[:-1]


def _row(param: Any, context: Any) -> str | None:
    if param.name in {"help"}:
        return None
    name, meaning = param.get_help_record(context) or (param.make_metavar(ctx=context), param.help or "")
    return f"| `{name}` | {_escaped(meaning)} |".replace("\n", " ")


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")
