"""What a run is opened with: its frozen settings, whatever workspace.toml says since."""

import pytest

from workspace.config.model import parse_config
from workspace.config.template import render_config
from workspace.errors import ConfigError, WorkspaceError
from workspace.files.atomic import write_atomic
from workspace.storage.paths import Workspace
from workspace.storage.run import model_settings, open_run

CLASSES = '[classes]\ncat = "cat"\ndog = "dog"\n'


class Listener:
    def __init__(self) -> None:
        self.warned: list[str] = []

    def begin(self, what, total): ...

    def advance(self, count=1): ...

    def say(self, message): ...

    def warn(self, message):
        self.warned.append(message)


def settings(**values: object):
    return parse_config(CLASSES, "test", {name.replace("__", "."): value for name, value in values.items()})


@pytest.fixture
def frozen(tmp_path) -> Workspace:
    workspace = Workspace(tmp_path)
    for run_id, epochs in (("early", 3), ("late", 12)):
        config = settings(train__epochs=epochs, clean__cache_side_px=128, search__per_class=9)
        write_atomic(workspace.run(run_id).config_file, render_config(config).encode())
        workspace.point_to(run_id)
    return workspace


def test_the_latest_run_or_a_named_one_is_opened_with_its_own_settings(frozen) -> None:
    assert open_run(frozen).config.train.epochs == 12
    assert open_run(frozen, "early").config.train.epochs == 3
    assert open_run(frozen).config.clean.cache_side_px == 128


def test_what_shapes_the_model_is_the_runs_and_all_else_is_todays(frozen) -> None:
    today = settings(
        **{"seed": 7, "train.epochs": 20, "train.device": "cpu", "features.workers": 4, "clean.cache_side_px": 512},
        **{"clean.workers": 3, "evaluate.accept": 0.9, "retrain.publish_level": 0.2, "search.per_class": 70},
    )
    listener = Listener()
    used = open_run(frozen).settings(today, listener)
    assert (used.seed, used.train.epochs, used.clean.cache_side_px) == (0, 12, 128)
    assert (used.train.device, used.features.workers, used.clean.workers) == ("cpu", 4, 3)
    assert (used.evaluate.accept, used.retrain.publish_level, used.search.per_class) == (0.9, 0.2, 70)
    (warning,) = listener.warned
    assert "run late" in warning and "seed = 0, not 7" in warning and "train.epochs = 12, not 20" in warning
    assert f"collect-and-train split -w {frozen.root}" in warning and "device" not in warning


def test_equal_settings_are_used_without_a_word(frozen) -> None:
    today = settings(train__epochs=12, clean__cache_side_px=128)
    listener = Listener()
    assert open_run(frozen).settings(today, listener) == today
    assert listener.warned == []


@pytest.mark.parametrize("named", ["train.epochs", "train"])
def test_a_setting_that_asks_for_another_model_is_refused_and_split_is_named(frozen, named) -> None:
    asked = settings(train__epochs=20)
    with pytest.raises(ConfigError, match=r"train.epochs = 20 .*frozen with 12.*split -w .* --set train.epochs=20"):
        open_run(frozen).refuse_changes(asked, [named])


def test_settings_that_do_not_shape_the_model_or_say_what_is_frozen_are_taken(frozen) -> None:
    asked = settings(train__epochs=12, train__device="cpu", retrain__publish_level=0.2, augment__hue=False)
    open_run(frozen).refuse_changes(asked, ["train.epochs", "train.device", "retrain.publish_level"])


def test_a_run_without_its_settings_is_an_error_with_the_remedy(frozen) -> None:
    frozen.run("late").config_file.unlink()
    with pytest.raises(WorkspaceError, match="collect-and-train split"):
        open_run(frozen)


def test_the_model_settings_are_the_sections_of_the_run_id_without_where_it_is_computed() -> None:
    names = set(model_settings(settings()))
    assert {"seed", "clean.cache_side_px", "train.backbone", "augment.flip", "train.epochs"} < names
    assert not {"train.device", "train.compile", "train.processes", "features.workers", "features.batch_size"} & names
