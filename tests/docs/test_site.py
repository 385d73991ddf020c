"""The documentation site, without the program that builds it: nav, links, and the generated references."""

import ast
import json
import posixpath
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from typer.main import get_command

from cli.main import app
from docs.site.modules_pages import page_of
from docs.site.stage import repository_pages, site_files, site_markdown
from workspace.catalog.records import ImageFacts
from workspace.config.model import WorkspaceConfig
from workspace.config.template import render_config
from workspace.errors import SourceFailed

CHECKOUT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]+)(?:#[^)\s]*)?\)")


@pytest.fixture(scope="module")
def files() -> dict[str, str | bytes]:
    return site_files()


def text_of(files: dict[str, str | bytes], place: str) -> str:
    content = files[place]
    assert isinstance(content, str)
    return content


def nav_files(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    inner = entry.values() if isinstance(entry, dict) else entry
    return [file for one in inner for file in nav_files(one)]  # type: ignore[union-attr, attr-defined]


def test_the_nav_names_every_page_but_those_that_an_index_lists(files) -> None:
    config = yaml.safe_load((CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8"))
    named = nav_files(config["nav"])
    listed = {place for place in files if place.startswith(("reference/code/", "decisions/"))}
    pages = {place for place in files if place.endswith(".md")}
    assert len(named) == len(set(named))
    assert set(named) - pages == set()
    assert pages - listed - set(named) == set()


def test_every_link_of_a_page_leads_to_a_file_of_the_site(files) -> None:
    dead = [
        f"{place}: {target}"
        for place, content in files.items()
        if isinstance(content, str) and place.endswith(".md")
        for target in LINK.findall(re.sub(r"```.*?```", "", content, flags=re.DOTALL))
        if posixpath.normpath(posixpath.join(posixpath.dirname(place), target)) not in files
    ]
    assert dead == []


def test_links_lead_to_the_places_that_pages_and_modules_have_on_the_site() -> None:
    pages = repository_pages()
    text = "[files](../data/README.md#a-table), [all](decisions), [code](../workspace/names.py), ![x](report.png)"
    assert site_markdown(text, "docs/using.md", pages) == (
        "[files](files.md#a-table), [all](decisions/index.md), [code](reference/code/workspace.md), ![x](report.png)\n"
    )
    assert page_of("training/fit/head.py") == "reference/code/training.fit.md"


def test_a_list_after_a_paragraph_gets_an_empty_line_and_a_line_of_an_item_none() -> None:
    text = "Three:\n- one\ngoes on\n- two\n\n```\nx\n- y\n```\n"
    assert site_markdown(text, "docs/using.md", repository_pages()) == text.replace("Three:\n", "Three:\n\n")


def test_the_reference_has_every_setting_that_init_writes(files) -> None:
    page = text_of(files, "reference/settings.md")
    written = tomllib.loads(render_config(WorkspaceConfig(classes={"cat": ("cat",), "dog": ("dog",)})))

    def settings(table: dict[str, object], section: str) -> list[tuple[str, str]]:
        pairs = []
        for key, value in table.items():
            inner = f"{section}.{key}".strip(".")
            is_section = f"\n## [{inner}]\n" in page
            pairs += settings(value, inner) if is_section else [(section, key)]  # type: ignore[arg-type]
        return pairs

    found = settings(written, "")
    missing = [
        (section, key)
        for section, key in found
        if f"| `{key}`"
        not in page.partition(f"\n## [{section}]\n" if section else "# Settings")[2].partition("\n## ")[0]
    ]
    assert len(found) > 90
    assert missing == []
    assert "| `apply` | true or false | `false` |" in page
    assert "| `folds` | integer, ≥ 2, ≤ 20 | `5` |" in page


def test_the_reference_has_every_command_with_its_options(files) -> None:
    page = text_of(files, "reference/commands.md")
    for option in ("--quiet", "--version", "--install-completion", "Exit codes: 0 done"):
        assert option in page.partition("\n## ")[0]
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert f"collect-and-train {name}" in section
        for option in (option for one in command.params if one.name not in {"help", "quiet"} for option in one.opts):
            if option.startswith("--"):
                assert option in section, (name, option)


def blocks(page: str, language: str) -> list[str]:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_source_of_the_how_to_page_reads_its_own_example_and_says_what_is_changed() -> None:
    (answer,), (code,) = blocks("docs/howto/own-source.md", "json"), blocks("docs/howto/own-source.md", "python")
    module: dict[str, object] = {"__name__": "museum"}
    exec(compile(code, "museum.py", "exec"), module)
    parse = module["parse"]
    (hit,), at_end = parse(json.loads(answer))  # type: ignore[operator]
    assert (hit.creator, hit.license, at_end) == ("Ada", "by", True)
    with pytest.raises(SourceFailed, match="changed"):
        parse({"items": [{"file": "https://museum.example/1.jpg"}]})  # type: ignore[operator]


def test_the_check_of_the_how_to_page_passes_and_fails() -> None:
    from preprocessing.quality import checks

    code = blocks("docs/howto/own-check.md", "python")
    assert isinstance(ast.parse(code[0]).body[0], ast.FunctionDef)
    module = dict(vars(checks))
    exec(code[0], module)
    clean = SimpleNamespace(min_megapixels=1.0)
    score = module["too_few_pixels"]
    assert score(ImageFacts("x", width=1000, height=2000), clean) >= checks.LIMIT
    assert score(ImageFacts("x", width=100, height=200), clean) < checks.LIMIT
    assert eval(f"{{{code[1]}}}", module)["too_few_pixels"].outcome == "drop"
