"""Settings of where files lie."""

import pytest
from typer.testing import CliRunner

from cli.main import app
from workspace.config.edit import with_settings
from workspace.config.model import parse_config
from workspace.config.storage import StorageConfig, read_storage
from workspace.errors import ConfigError
from workspace.resolve import open_workspace
from workspace.storage.run import model_settings

CLASSES = '[classes]\ncat = ["cat"]\ndog = ["dog"]\n'


@pytest.mark.parametrize("address", ["", "s3://my-bucket/pandas", "s3://my.bucket", "s3://b00/a/b_c-d.e/2026"])
def test_an_address_is_taken_without_a_slash_at_its_end(address) -> None:
    assert StorageConfig(files=address).files == address
    if address:
        assert StorageConfig(files=f"{address}/").files == address


@pytest.mark.parametrize(
    "address",
    ["s3:/bucket/x", "s3://", "s3:///x", "s3://My_Bucket/x", "https://bucket.s3.amazonaws.com/x", "/data", "bucket/x"]
    + [
        "s3://key:secret@bucket/x",
        "s3://bucket/a b",
        "s3://bucket/../x",
        "s3://bucket//x",
        "s3://bucket/x?y=z",
        "gs://b",
    ],
)
def test_a_malformed_address_is_refused_without_repeating_it(tmp_path, address) -> None:
    with pytest.raises(ConfigError, match=r"s3://BUCKET/PREFIX") as refused:
        parse_config(f'{CLASSES}[storage]\nfiles = "{address}"\n', "workspace.toml")
    assert "secret" not in str(refused.value)
    open_workspace(tmp_path, ["cat", "dog"])
    done = CliRunner().invoke(app, ["move", "-w", str(tmp_path), "--to", address])
    assert isinstance(done.exception, ConfigError) and "s3://BUCKET/PREFIX" in str(done.exception)
    assert "\n" not in str(done.exception)


def test_where_files_lie_is_no_part_of_a_run(tmp_path) -> None:
    plain = parse_config(CLASSES, "a")
    placed = parse_config(f'{CLASSES}[storage]\nfiles = "s3://bucket/x"\n', "b")
    assert plain != placed
    assert model_settings(plain) == model_settings(placed)


def test_a_place_for_this_run_alone_is_refused(tmp_path) -> None:
    open_workspace(tmp_path, ["cat", "dog"])
    with pytest.raises(ConfigError, match="collect-and-train move -w"):
        open_workspace(tmp_path, (), {"storage.files": "s3://bucket/x"})
    open_workspace(tmp_path, (), {"storage.files": ""})


def test_the_section_alone_is_read_and_follows_the_file(tmp_path) -> None:
    file = tmp_path / "workspace.toml"
    assert read_storage(file) == StorageConfig()
    file.write_text(CLASSES)
    assert read_storage(file) == StorageConfig()
    file.write_text(f'{CLASSES}[storage]\nfiles = "s3://bucket/x"\n')
    assert read_storage(file).files == "s3://bucket/x"
    file.write_text("[storage\n")
    with pytest.raises(ConfigError, match="workspace.toml"):
        read_storage(file)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[storage]\nfiles = ''  # here\n", '[storage]\nfiles = "s3://b00/x"\n'),
        ("[storage]\n# files\n[train]\n", '[storage]\nfiles = "s3://b00/x"\n# files\n[train]\n'),
        ("[train]\n", '[train]\n\n[storage]\nfiles = "s3://b00/x"\n'),
        ("[train]", '[train]\n\n[storage]\nfiles = "s3://b00/x"\n'),
        (' [ storage ] # place\n  files="s3://a00"\n[train]\nfiles = 3\n', None),
    ],
)
def test_a_setting_is_changed_in_its_line_and_all_else_stays(before, after) -> None:
    edited = with_settings(before, "workspace.toml", "storage", {"files": "s3://b00/x"})
    assert edited == (after or ' [ storage ] # place\nfiles = "s3://b00/x"\n[train]\nfiles = 3\n')


def test_a_section_that_cannot_be_edited_is_named_with_what_to_write() -> None:
    with pytest.raises(ConfigError, match='write there by hand: files = "s3://b00/x"'):
        with_settings('storage = {files = ""}\n', "workspace.toml", "storage", {"files": "s3://b00/x"})
