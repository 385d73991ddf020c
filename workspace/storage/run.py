"""A run: a frozen dataset with the settings that shape its model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel

from workspace.catalog.records import Sample
from workspace.config.model import WorkspaceConfig, load_config
from workspace.config.section import EXECUTION_ONLY
from workspace.config.template import set_options
from workspace.errors import ConfigError, WorkspaceError
from workspace.progress import SILENT, Progress
from workspace.storage.artefact import Artefact
from workspace.storage.dataset import read_dataset, read_negatives
from workspace.storage.model_card import ModelCard
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import RunFolder

RECIPE_VERSION = 6
"""Part of a run's id: raise it whenever the same images and settings would be trained to another model."""

SHAPING_SECTIONS = ("features", "augment", "train")
"""The sections that shape a model; with `seed` and `clean.cache_side_px` they are part of a run's id, but for what is
execution only."""


@dataclass(frozen=True, slots=True)
class Run:
    """A frozen run.

    Attributes:
        workspace: whose run.
        folder: where its files are.
        config: the settings that it was frozen with.
    """

    workspace: Workspace
    folder: RunFolder
    config: WorkspaceConfig

    def samples(self) -> list[Sample]:
        """Read the frozen dataset, by label and sha256.

        Raises:
            DatasetError: it is missing or damaged.
        """
        return read_dataset(self.folder.dataset_file)

    def negatives(self) -> list[Sample]:
        """Read the frozen negatives, by sha256; none where the run has none.

        Raises:
            DatasetError: the file is damaged.
        """
        return read_negatives(self.folder.negatives_file)

    def card(self) -> ModelCard:
        """Read the model's card.

        Raises:
            ModelError: there is no model yet, or its card cannot be used.
        """
        return ModelCard.read(self.folder.card_file)

    def settings(self, today: WorkspaceConfig, progress: Progress = SILENT) -> WorkspaceConfig:
        """Merge today's settings with the frozen ones that shape the model; warn where they differ."""
        frozen, present = model_settings(self.config), model_settings(today)
        if changed := [name for name in frozen if frozen[name] != present[name]]:
            values = ", ".join(f"{name} = {frozen[name]!r}, not {present[name]!r}" for name in changed)
            progress.warn(
                f"run {self.folder.run_id} keeps the settings that it was frozen with ({values}); "
                f"for a run with those of today: {self.workspace.command('split')}"
            )
        return with_settings(today, frozen)

    def refuse_changes(self, asked: WorkspaceConfig, names: Collection[str]) -> None:
        """Refuse settings named by the user that would need another model than this run's.

        Args:
            asked: the settings with what the person asked for.
            names: the settings or sections that the person named, dotted.

        Raises:
            ConfigError: one does; names the setting, both values and the remedy.
        """
        frozen, wanted = model_settings(self.config), model_settings(asked)
        for name in frozen:
            if frozen[name] != wanted[name] and not {name, name.partition(".")[0]}.isdisjoint(names):
                raise ConfigError(
                    f"{name} = {wanted[name]!r} comes too late: run {self.folder.run_id} was frozen with "
                    f"{frozen[name]!r}. Make a run with it, and go on from there: {self.workspace.command('split')}"
                    f"{set_options({name: wanted[name]})}"
                )


class OwnSettings(Artefact):
    """What tells a setting that was given for one run from one that was edited in workspace.toml since."""

    COMMAND: ClassVar[str] = "collect-and-train split"
    REPAIR: ClassVar[str] = "delete it"

    in_workspace: dict[str, Any]
    """Of each setting that the run has otherwise: its value in workspace.toml when the run was frozen."""


def open_run(workspace: Workspace, run_id: str | None = None) -> Run:
    """Open a run with its frozen settings: the one named, else the latest.

    Raises:
        WorkspaceError: there is no run yet, or its settings are gone.
        ConfigError: its settings cannot be read.
    """
    folder = workspace.latest_run() if run_id is None else workspace.run(run_id)
    if not folder.config_file.is_file():
        raise WorkspaceError(f"{folder.config_file} does not exist; make a run anew with: {workspace.command('split')}")
    return Run(workspace, folder, load_config(folder.config_file, frozen=True))


def model_settings(config: WorkspaceConfig) -> dict[str, Any]:
    """List the settings that shape a model, by dotted name; not those of where it is computed."""
    found: dict[str, Any] = {"seed": config.seed, "clean.cache_side_px": config.clean.cache_side_px}
    for name in SHAPING_SECTIONS:
        section = getattr(config, name)
        found |= {
            f"{name}.{key}": getattr(section, key)
            for key, field in type(section).model_fields.items()
            if field.json_schema_extra != EXECUTION_ONLY
        }
    return found


def execution_settings(config: WorkspaceConfig) -> dict[str, Any]:
    """List the settings that say where and how fast something is computed, by dotted name."""
    sections = [(name, getattr(config, name)) for name in WorkspaceConfig.model_fields]
    return {
        f"{name}.{key}": getattr(section, key)
        for name, section in sections
        if isinstance(section, BaseModel)
        for key, field in type(section).model_fields.items()
        if field.json_schema_extra == EXECUTION_ONLY
    }


def differing_settings(a: WorkspaceConfig, b: WorkspaceConfig) -> list[str]:
    """Name the settings that differ, dotted, but for the classes and for where a model is computed."""
    names = []
    for section in WorkspaceConfig.model_fields:
        values_a, values_b = getattr(a, section), getattr(b, section)
        if section == "classes" or values_a == values_b:
            continue
        if not isinstance(values_a, BaseModel):
            names.append(section)
            continue
        fields = type(values_a).model_fields
        shaping = [name for name, field in fields.items() if field.json_schema_extra != EXECUTION_ONLY]
        names += [f"{section}.{name}" for name in shaping if getattr(values_a, name) != getattr(values_b, name)]
    return names


def record_own_settings(workspace: Workspace, folder: RunFolder, config: WorkspaceConfig) -> None:
    """Note in a run that is being frozen where its settings are not those of workspace.toml."""
    if not workspace.config_file.is_file():
        return
    written = load_config(workspace.config_file)
    if names := differing_settings(config, written):
        values = {name: _value(written, name) for name in names}
        OwnSettings(in_workspace=values).write(folder.own_settings_file)


def own_settings(folder: RunFolder, written: WorkspaceConfig) -> dict[str, Any]:
    """List the settings that a run has of its own, by dotted name.

    Args:
        folder: of the run.
        written: the settings of workspace.toml today. What was edited there since the run was frozen is left out.

    Raises:
        ModelError: the run's note of them is damaged.
        ConfigError: the run's settings cannot be read.
    """
    noted = OwnSettings.read_if_present(folder.own_settings_file)
    if noted is None or not folder.config_file.is_file():
        return {}
    frozen = load_config(folder.config_file, frozen=True)
    return {
        name: _value(frozen, name)
        for name in differing_settings(frozen, written)
        if name in noted.in_workspace and noted.in_workspace[name] == _value(written, name)
    }


def latest_own_settings(workspace: Workspace, written: WorkspaceConfig) -> dict[str, Any]:
    """List the latest run's own settings, as own_settings does; none before the first run."""
    try:
        folder = workspace.latest_run()
    except WorkspaceError:
        return {}
    return own_settings(folder, written)


def next_run(workspace: Workspace, given: Mapping[str, Any] | None = None) -> str:
    """Write the command that runs what is left, with the settings that the latest run has of its own.

    Args:
        workspace: of the command.
        given: settings that the present command was given; they win.
    """
    try:
        own = latest_own_settings(workspace, load_config(workspace.config_file))
    except ConfigError:  # `run` says what is wrong with workspace.toml; what was done before is not to fail by it
        own = {}
    return workspace.command("run") + set_options(own | dict(given or {}))


def with_settings(config: WorkspaceConfig, values: Mapping[str, Any]) -> WorkspaceConfig:
    """Replace settings, by dotted name, with values of their types."""
    sections: dict[str, Any] = {}
    for name, value in values.items():
        section, _, key = name.rpartition(".")
        sections.setdefault(section, {})[key] = value
    update = sections.pop("", {})
    update |= {name: getattr(config, name).model_copy(update=changed) for name, changed in sections.items()}
    return config.model_copy(update=update)


def _value(config: WorkspaceConfig, name: str) -> Any:
    """Return a setting as JSON has it."""
    section, _, key = name.rpartition(".")
    values = config.model_dump(mode="json")
    return values[section][key] if section else values[key]
