import re
import tomllib
import unicodedata

import pytest
from pydantic import ValidationError

from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.model import WorkspaceConfig, load_config, parse_config
from workspace.config.template import EXAMPLE_CLASSES, render_config
from workspace.errors import ConfigError, UsageError

TWO = '[classes]\n"red panda" = "red panda"\nraccoon = ["raccoon", "Procyon lotor"]\n'


def test_a_class_has_one_keyword_or_several_in_any_script() -> None:
    config = parse_config(TWO + '"고양이" = ["고양이", "tabby cat"]\n', "text")
    assert config.classes == {
        "red panda": ("red panda",),
        "raccoon": ("raccoon", "Procyon lotor"),
        "고양이": ("고양이", "tabby cat"),
    }


def test_names_are_composed_so_that_equal_looking_ones_are_equal() -> None:
    decomposed = "고양이"  # typed as separate letters, as some systems do
    assert list(parse_config(f'[classes]\n"{decomposed}" = "x"\nb = "b"\n', "text").classes) == ["고양이", "b"]


def test_every_problem_is_reported_together() -> None:
    text = TWO + "[split]\ntrain = 0.9\n[train]\nepochs = -1\nlearning_rate = 3\n[search]\nper_class = 0\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "here/workspace.toml")
    message = str(caught.value)
    assert message.startswith("here/workspace.toml has 4 problems:")
    for part in ("split: train, val and test add up to 1.2", "train.epochs", "train.learning_rate", "search.per_class"):
        assert part in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[classes]\na = "a"\n', "at least 2 classes"),
        ('[classes]\n"a/b" = "a"\nc = "c"\n', "cannot name a class"),
        ('[classes]\nCat = "a"\ncat = "c"\n', "'Cat' and 'cat' have the same name"),
        ("[classes]\na = []\nb = 'b'\n", "at least one keyword"),
        ("[classes\n", "not valid TOML"),
        (TWO + '[search]\nsources = ["results_page"]\n', "needs url in .search.results_page"),
        (TWO + '[search.openverse]\nurl = "ftp://x"\n', "must start with http"),
        (TWO + '[search]\nlicenses = ["cc-by"]\n', "unknown cc-by; the known names are cc0, pdm, by, by-sa"),
        (TWO + '[search]\nlicenses = ["nc"]\n', "unknown nc"),
        (TWO + '[search]\nexclude_licenses = ["nc", "xx"]\n', "unknown xx; the known names are nc, nd, sa, cc0"),
        (TWO + '[search]\nlicenses = ["by-nc"]\nexclude_licenses = ["nc"]\n', "excludes every one of licenses"),
        (
            TWO + '[search.website.start_pages]\n"red pandas" = ["https://x.example"]\n',
            "'red pandas', which no class looks for; the keywords are 'red panda', 'raccoon', 'Procyon lotor'",
        ),
    ],
)
def test_a_wrong_file_says_what_is_wrong(text: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        parse_config(text, "text")


def test_a_missing_file_names_the_command_that_writes_one(tmp_path) -> None:
    with pytest.raises(ConfigError, match="collect-and-train init"):
        load_config(tmp_path / "workspace.toml")


def test_overrides_win_and_are_checked_too() -> None:
    config = parse_config("seed = 3\n" + TWO, "text", {"train.epochs": 5, "seed": 7})
    assert (config.train.epochs, config.seed) == (5, 7)
    with pytest.raises(ConfigError, match="no such setting"):
        parse_config(TWO, "text", {"train.epoch": 5})


def test_the_written_file_reads_back_equal_and_explains_every_setting() -> None:
    classes = dict(EXAMPLE_CLASSES) | {'with "quotes" too': ("a\\b\tc", "é\u007f")}
    config = WorkspaceConfig.model_validate(
        {"classes": classes, "seed": 4, "search": {"licenses": ("cc0", "by")}, "train": {"backbone_lr": 1e-5}}
    )
    text = render_config(config)
    assert parse_config(text, "text") == config
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith(("#", '"')):
            assert lines[number - 1].startswith("#"), f"{line} has no comment"


def test_licences_are_chosen_by_name_and_excluded_by_name_or_part() -> None:
    def wanted(licenses: list[str], excluded: list[str]) -> tuple[str, ...] | None:
        return SearchConfig(licenses=licenses, exclude_licenses=excluded).wanted_licenses

    assert wanted([], []) is None
    assert wanted(["CC0", "by"], []) == ("cc0", "by")
    assert wanted([], ["nc", "nd"]) == ("cc0", "pdm", "by", "by-sa")
    assert wanted(["by", "by-nc-sa"], ["by-nc", "nd"]) == ("by", "by-nc-sa")


def test_start_pages_may_be_written_in_any_form_of_the_keyword() -> None:
    text = (
        TWO
        + '"고양이" = "고양이"\n[search.website.start_pages]\n"RED Panda" = ["https://x.example"]\n"*" = ["https://x.example/{keyword}"]\n'
    )
    decomposed = unicodedata.normalize("NFD", "고양이")
    assert len(parse_config(text + f'"{decomposed}" = ["https://y.example"]\n', "text").search.website.start_pages) == 3


def test_a_contact_that_no_header_takes_and_a_private_host_with_a_port_are_mistakes() -> None:
    with pytest.raises(ValidationError, match="plain ASCII"):
        NetworkConfig(contact="홍길동")
    with pytest.raises(ValidationError, match="plain ASCII"):
        NetworkConfig(contact="me@example.org\r\nX-Evil: 1")
    with pytest.raises(ValidationError, match=r"nas\.local:8080: only the host"):
        NetworkConfig(private_hosts=("nas.local:8080",))
    assert NetworkConfig(private_hosts=("[::1]", "NAS.local")).private_hosts == ("::1", "nas.local")


def test_epochs_are_a_number_or_chosen_by_the_number_of_pictures() -> None:
    for value in ("auto", 0, 7):
        assert parse_config(TWO, "text", {"train.epochs": value}).train.epochs == value
    for value in (-1, True, 1.5, "some"):
        with pytest.raises(ConfigError, match='has 1 problem:\n  train.epochs: it is "auto" or a whole number'):
            parse_config(TWO, "text", {"train.epochs": value})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"classes: there are none; name each"),
        ("classes = 1\n", r"classes: it must be a section of names and values"),
        ("[classes]\na = 1\nb = 'b'\n", r"classes.a: it must be a list, such as"),
        ("train = 3\n" + TWO, "train: it must be a section"),
        (TWO + "[train]\nepoch = 3\n", "train.epoch: there is no such setting"),
        (TWO + "[train]\nregime = 'some'\n", "train.regime: 'some' is not one of 'auto', "),
        (TWO + "[search]\nper_class = 'many'\n", "search.per_class: 'many' is not a whole number"),
        (TWO + "[search]\nper_class = 1.5\n", "search.per_class: 1.5 is not a whole number"),
        (TWO + "[search]\nsources = 'openverse'\n", "search.sources: it must be a list"),
        (TWO + "[clean]\nmax_text = 2\n", "clean.max_text: 2 is too high: it must be at most 1$"),
        (TWO + "[clean]\nmax_text = 'half'\n", "clean.max_text: 'half' is not a number"),
        (TWO + "[clean]\nflag_reserved = 'maybe'\n", "clean.flag_reserved: 'maybe' is neither true nor false"),
        (TWO + "[network]\ncontact = 3\n", "network.contact: it must be a text, in quotes"),
        (TWO + "[network]\nper_host_pause_s = -1\n", "-1 is too low: it must be at least 0$"),
    ],
)
@pytest.mark.parametrize("how", ["file", "setting"])
def test_a_wrong_value_is_told_in_our_words_with_where_it_stands(text: str, words: str, how: str) -> None:
    section, _, line = text.removeprefix(TWO).removeprefix("[").partition("]\n")
    if how == "file":
        with pytest.raises(ConfigError, match="text has 1 problem") as caught:
            parse_config(text, "text")
        assert not isinstance(caught.value, UsageError)
    elif line and text.startswith(TWO):
        key, _, value = line.partition(" = ")
        with pytest.raises(UsageError, match="^the command line has 1 problem") as caught:
            parse_config(TWO, "text", {f"{section}.{key}": tomllib.loads(f"v = {value}")["v"]})
    else:
        return
    assert re.search(words, str(caught.value)), str(caught.value)
    assert not re.search("Input|Field|Value error|valid", str(caught.value))


def test_problems_of_the_file_and_of_the_command_line_are_told_apart() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(TWO + "[train]\nepoch = 3\n", "here", {"clean.max_text": 2})
    assert str(caught.value).splitlines()[::2] == ["here has 1 problem:", "the command line has 1 problem:"]
