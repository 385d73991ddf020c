"""A `~` in a path that a person wrote means their home, in every setting and step."""

from pathlib import Path

import pytest

from collectors.http.recording import open_cassette, record_key_names, recorded_key_names
from collectors.inbox import run as take_in
from collectors.sources.local.folder import Folder, LocalPhotos
from collectors.sources.local.url_list import UrlList
from flows.inputs import open_inputs
from flows.timing.work import work_left
from training.network.registry import find_weights, spec_of
from workspace.catalog.funnel import more_of
from workspace.config.collect import ALL_PICTURES
from workspace.config.model import WorkspaceConfig
from workspace.errors import ConfigError, WeightsError
from workspace.files.atomic import write_atomic
from workspace.progress import SILENT
from workspace.storage.paths import Workspace

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("workspace", "collectors", "preprocessing", "training", "pages", "flows", "cli")
JPEG = b"\xff\xd8\xff\xe0"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg"):
        write_atomic(tmp_path / "pics" / name, JPEG + name.encode())
    (tmp_path / "list.csv").write_text("url,label\nhttps://p.example/1.jpg,cat\n")
    return tmp_path


def settings(path: str, **sections: object) -> WorkspaceConfig:
    search = {
        "sources": ["folder"],
        "folder": {"path": path},
        "per_class": ALL_PICTURES,
        "url_list": {"file": "~/list.csv"},
    }
    return WorkspaceConfig.model_validate({"classes": {"cat": "cat", "dog": "dog"}, "search": search, **sections})


def test_the_source_folder_the_list_and_the_estimate_find_them(home: Path) -> None:
    config, workspace = settings("~/pics"), Workspace(home / "w")
    assert [hit.title for hit in Folder(config.search).search(None, "cat", None).hits] == ["1", "2"]
    assert LocalPhotos("~/pics").read("folder:cat/1.jpg", 100) == JPEG + b"cat/1.jpg"
    assert len(UrlList(config.search).search(None, "cat", None).hits) == 1
    assert more_of("cat", config, 2) == f"put at least 2 more pictures into {home / 'pics' / 'cat'}"
    left = [work_left("search", workspace, settings(path)) for path in ("~/pics", str(home / "pics"))]
    assert left[0] is not None and left[0] == left[1]
    assert left[0].left == 4
    assert open_inputs(home / "w", photos="~/pics").config.search.folder.path == str(home / "pics")


def test_negatives_weights_and_recordings_are_there(home: Path) -> None:
    config = settings("~/pics", negatives={"folder": "~/pics/dog"}, retrain={"settle_s": 0})
    assert take_in(Workspace(home / "w"), config, SILENT).done == 2
    (home / "weights.pth").write_bytes(b"")
    assert find_weights(spec_of("resnet18"), "~/weights.pth") == home / "weights.pth"
    record_key_names("~/recorded", ["FLICKR_KEY"])
    open_cassette("~/recorded", "").close()
    assert recorded_key_names("~/recorded") == recorded_key_names(str(home / "recorded")) == ("FLICKR_KEY",)
    open_cassette("", "~/recorded").close()


def test_the_home_of_nobody_is_named_as_it_was_written() -> None:
    with pytest.raises(ConfigError, match="~nobody-here/pics does not exist"):
        open_inputs(photos=Path("~nobody-here/pics"))
    with pytest.raises(WeightsError, match="~nobody-here/w.pth"):
        find_weights(spec_of("resnet18"), "~nobody-here/w.pth")


def test_nothing_else_expands_paths_on_its_own() -> None:
    files = [file for package in PACKAGES for file in (CHECKOUT / package).rglob("*.py")]
    found = [file for file in files if "expanduser" in file.read_text(encoding="utf-8")]
    assert [file.relative_to(CHECKOUT).as_posix() for file in found] == ["workspace/names.py"]
