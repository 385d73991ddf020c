import pytest

from workspace.config.model import WorkspaceConfig, parse_config
from workspace.config.template import render_config
from workspace.errors import ConfigError

TWO = '[classes]\n"black bear" = ["black bear", "Ursus americanus"]\ncat = "cat"\n'


def test_they_are_collected_beside_the_classes_under_the_name_that_no_class_may_have() -> None:
    config = parse_config(TWO + '[negatives]\nkeywords = [" bear costume", "bear costume"]\n', "text")
    assert dict(config.collected) == {**config.classes, "none": ("bear costume",)}
    assert list(config.classes) == ["black bear", "cat"]
    assert parse_config(render_config(config), "text") == config
    assert parse_config(TWO + '[negatives]\nkeywords = "teddy"\n', "text").negatives.keywords == ("teddy",)
    assert parse_config(TWO + '[negatives]\nfolder = "x"\n', "text").collected["none"] == ()
    assert dict(parse_config(TWO, "text").collected) == dict(parse_config(TWO, "text").classes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('keywords = ["Cat"]', "'Cat', which the class 'cat' looks for"),
        ('keywords = ["ursus_americanus"]', "which the class 'black bear' looks for"),
        ('keywords = [" "]', "no keyword may be empty"),
        ("folders = 3", "there is no such setting"),
    ],
)
def test_what_makes_no_sense_is_said(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(f"{TWO}[negatives]\n{text}\n", "text")


def test_a_run_of_a_version_that_let_a_class_be_named_none_is_still_read() -> None:
    text = '[classes]\nnone = "x"\ncat = "cat"\n'
    assert list(parse_config(text, "run", frozen=True).collected) == ["none", "cat"]
    with pytest.raises(ConfigError, match="a class 'none' has no place for negatives"):
        parse_config(text + '[negatives]\nfolder = "x"\n', "run", frozen=True)


def test_start_pages_may_be_for_negatives() -> None:
    pages = {"website": {"start_pages": {"bear costume": ["http://a.test"]}}}
    classes = {"a": "a", "b": "b"}
    made = WorkspaceConfig.model_validate(
        {"classes": classes, "negatives": {"keywords": ["bear costume"]}, "search": pages}
    )
    assert made.negatives.wanted
