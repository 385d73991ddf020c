"""One rule says when two names of a class or keyword are the same, at every door they come in by."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from collectors import inbox
from collectors.http.session import PoliteSession
from collectors.sources.base import ResultPage
from collectors.sources.html.website import Website
from collectors.sources.local.folder import Folder
from collectors.sources.local.url_list import UrlList
from flows.inputs import open_inputs
from workspace.catalog.records import Hit
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.model import WorkspaceConfig, parse_config
from workspace.config.sources import FolderConfig, UrlListConfig
from workspace.errors import ConfigError
from workspace.names import name_key, same_name
from workspace.resolve import open_workspace
from workspace.storage.paths import Workspace

SPELLINGS = ["red panda", "Red_Panda", "red-panda", "RED -_ panda", " red  panda\t"]


@pytest.mark.parametrize("name", SPELLINGS)
def test_case_and_what_stands_between_words_make_no_other_name(name: str) -> None:
    assert same_name(name, "red panda")


def test_composed_and_decomposed_letters_are_the_same_and_other_marks_are_not() -> None:
    assert same_name(unicodedata.normalize("NFD", "고양이"), "고양이")
    assert same_name(unicodedata.normalize("NFD", "Éclair"), "éclair")
    for a, b in (("redpanda", "red panda"), ("C", "C++"), ("A", "A-"), ("a.b", "a b")):
        assert not same_name(a, b), (a, b)


def _in_the_inbox(name: str, tmp_path: Path) -> int:
    workspace = Workspace(tmp_path / "workspace")
    file = workspace.inbox / name / "1.png"
    file.parent.mkdir(parents=True)
    Image.new("RGB", (80, 80)).save(file)
    config = {"classes": {"red panda": "Ailurus", "cat": "cat"}, "retrain": {"settle_s": 0}}
    inbox.run(workspace, WorkspaceConfig.model_validate(config))
    with workspace.open_catalog() as catalog:
        return len(catalog.all(Hit))


def _ask(source: Folder | UrlList | Website, session: PoliteSession) -> ResultPage:
    return source.search(session, "red panda", None)


def _in_a_folder(name: str, tmp_path: Path) -> int:
    (tmp_path / "mine" / name).mkdir(parents=True)
    (tmp_path / "mine" / name / "1.jpg").touch()
    return len(
        _ask(
            Folder(SearchConfig(folder=FolderConfig(path=str(tmp_path / "mine")))), PoliteSession(NetworkConfig())
        ).hits
    )


def _in_a_list(name: str, tmp_path: Path) -> int:
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "list.csv").write_text(f"url,label\nhttps://p.example/1.jpg,{name}\n")
    return len(
        _ask(
            UrlList(SearchConfig(url_list=UrlListConfig(file=str(tmp_path / "list.csv")))),
            PoliteSession(NetworkConfig()),
        ).hits
    )


def _as_a_start_page(name: str, _tmp_path: Path) -> int:
    config = parse_config(
        f'[classes]\n"red panda" = "red panda"\ncat = "cat"\n[search.website]\nstart_pages = {{"{name}" = ["http://127.0.0.1:9/"]}}\n',
        "text",
    )
    asked: list[str] = []

    class Session(PoliteSession):
        def fetch(self, url, out, **_options):
            asked.append(url)
            raise AssertionError

    with pytest.raises(AssertionError):
        _ask(Website(config.search), Session(NetworkConfig()))
    return len(asked)


@pytest.mark.parametrize("name", ["red panda", "red_panda", "red-panda", "Red-Panda"])
@pytest.mark.parametrize("door", [_in_the_inbox, _in_a_folder, _in_a_list, _as_a_start_page])
def test_a_spelling_matches_at_every_door(door: Callable[[str, Path], int], name: str, tmp_path: Path) -> None:
    assert door(name, tmp_path) == 1


def test_start_pages_under_two_spellings_of_one_keyword_all_count(session_of_pages) -> None:
    pages = {"red panda": ["http://s.example/1"], "red-panda": ["http://s.example/2"]}
    source = Website(SearchConfig.model_validate({"website": {"start_pages": pages}}))
    first = source.search(session_of_pages, "Red Panda", None)
    assert source.search(session_of_pages, "Red Panda", first.next_cursor).next_cursor is None
    assert session_of_pages.asked == ["http://s.example/1", "http://s.example/2"]


@pytest.fixture
def session_of_pages(monkeypatch: pytest.MonkeyPatch) -> PoliteSession:
    session = PoliteSession(NetworkConfig())
    session.asked = []  # type: ignore[attr-defined]

    def fetch_page(asking, url: str) -> tuple[bytes, str]:
        asking.asked.append(url)
        return b"<html><img src=x.jpg></html>", url

    monkeypatch.setattr("collectors.sources.html.website.fetch_page", fetch_page)
    return session


@pytest.mark.parametrize("other", ["Red Panda", "red_panda", "red-panda"])
def test_classes_that_are_one_name_are_a_mistake_that_names_both(other: str) -> None:
    with pytest.raises(ConfigError, match=f"'red panda' and '{other}'"):
        parse_config(f'[classes]\n"red panda" = "x"\n"{other}" = "y"\n', "text")


def test_a_workspace_is_found_again_by_another_spelling_of_its_keywords(tmp_path: Path) -> None:
    open_workspace(tmp_path, ["red panda", "cat"])
    _place, config = open_workspace(tmp_path, ["Red-Panda", "cat"])
    assert list(config.classes) == ["red panda", "cat"]
    with pytest.raises(ConfigError, match="has the classes red panda, cat, not raccoon"):
        open_workspace(tmp_path, ["raccoon", "cat"])


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("caf\u00e9", "cafe\u0301", r"'caf\\xe9' and 'cafe\\u0301'"),
        (" cat", "cat", "' cat' and 'cat'"),
        ("cat\u3000", "cat", "'cat\\\\u3000' and 'cat'"),
        ("red\u00a0panda", "red panda", r"'red\\xa0panda' and 'red panda'"),
        ("cat\u200b", "cat", r"'cat\\u200b' and 'cat'"),
    ],
)
def test_classes_that_look_like_one_name_are_a_mistake_that_shows_how_they_differ(first, second, shown) -> None:
    with pytest.raises(ConfigError, match=shown):
        parse_config(f'[classes]\n"{first}" = "x"\n"{second}" = "y"\ndog = "dog"\n', "text")


def test_keywords_on_the_command_line_that_are_one_name_are_a_mistake_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="have the same name"):
        open_workspace(tmp_path, ["caf\u00e9", "cafe\u0301", "tea"])
    assert not (tmp_path / "workspace.toml").exists()


def test_names_and_keywords_are_composed_and_stripped_and_a_keyword_counts_once() -> None:
    config = parse_config('[classes]\n" cafe\u0301 " = [" e\u0301 ", "\u00e9", "x"]\ndog = " dog"\n', "text")
    assert config.classes == {"caf\u00e9": ("\u00e9", "x"), "dog": ("dog",)}


@pytest.mark.parametrize("name", ["none", "None", "NONE", " none ", "no\u200bne"])
def test_no_class_may_have_the_name_of_the_answer_none(name: str) -> None:
    with pytest.raises(ConfigError, match="a model answers 'none' to a picture of no class"):
        parse_config(f'[classes]\n"{name}" = "x"\ndog = "dog"\n', "text")


def test_a_run_that_was_frozen_with_a_class_of_that_name_is_still_read() -> None:
    text = '[classes]\nnone = "x"\ndog = "dog"\n'
    assert list(parse_config(text, "config.toml", frozen=True).classes) == ["none", "dog"]


@pytest.mark.parametrize("name", ["a\u2028b", "a\x85b", "a\x1b[31m"])
def test_a_name_that_breaks_lines_or_moves_the_cursor_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a class"):
        WorkspaceConfig(classes={name: ("x",), "dog": ("dog",)})


def test_a_name_or_keyword_that_is_no_text_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bytes that are not UTF-8"):
        WorkspaceConfig(classes={"cat": ("ca\udcf1on",), "dog": ("dog",)})
    with pytest.raises(ConfigError, match=r"'ca\\udcf1on' is no text"):
        open_workspace(tmp_path, ["ca\udcf1on", "dog"])


def test_a_folder_of_the_inbox_is_that_of_the_class_of_its_name_before_that_of_a_keyword(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (workspace.inbox / "bear").mkdir(parents=True)
    Image.new("RGB", (80, 80)).save(workspace.inbox / "bear" / "1.png")
    classes = {"grizzly": ["grizzly", "bear"], "bear": ["black bear"]}
    inbox.run(workspace, WorkspaceConfig.model_validate({"classes": classes, "retrain": {"settle_s": 0}}))
    with workspace.open_catalog() as catalog:
        assert [hit.label for hit in catalog.all(Hit)] == ["bear"]


@given(st.text() | st.text(alphabet=" -_\u200bAa\u0345\u0301İßﬀΣ1"))
def test_the_key_of_a_key_is_that_key(name: str) -> None:
    assert name_key(name_key(name)) == name_key(name)
    assert same_name(name, name_key(name)) and same_name(name, f"\u3000{name}\t")


GRADES = ["A-", "_A", "- A -", "A b"]


@pytest.mark.parametrize("door", [_in_the_inbox, _in_a_folder, _in_a_list, _as_a_start_page])
def test_a_hyphen_at_an_end_makes_another_name_at_every_door(door: Callable[[str, Path], int], tmp_path: Path) -> None:
    for number, name in enumerate(("-red panda", "red panda_", "- red_panda -")):
        try:
            assert door(name, tmp_path / str(number)) == 0
        except ConfigError as error:
            assert "which no class looks for" in str(error)


def test_classes_that_differ_by_a_hyphen_at_an_end_are_kept_apart_with_their_pictures(tmp_path: Path) -> None:
    for name in GRADES:
        (tmp_path / "pics" / name).mkdir(parents=True)
        Image.new("RGB", (80, 80)).save(tmp_path / "pics" / name / f"{name}.png")
    inputs = open_inputs(tmp_path / "ws", (), tmp_path / "pics")
    assert set(inputs.config.classes) == set(GRADES)
    source = Folder(inputs.config.search)
    for words in inputs.config.classes.values():
        hits = source.search(PoliteSession(NetworkConfig()), words[0], None).hits
        assert [hit.title for hit in hits] == list(words)
    classes = {**dict.fromkeys(GRADES, "x"), "A": "A", "-A": "y"}
    with pytest.raises(ConfigError, match="'_A' and '-A' have the same name"):
        parse_config(
            f"classes = {{{', '.join(f'{json.dumps(k)} = {json.dumps(v)}' for k, v in classes.items())}}}", "x"
        )
