"""The settings of a workspace: one frozen model per step, read from workspace.toml.

The sections stand beside it: collect.py, clean.py, train.py and operate.py. Every field carries its unit in its
name or its description; `workspace.config.template` prints these descriptions as the comments of a new
workspace.toml, so that they are written once.
"""

from __future__ import annotations

import copy
import json
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from workspace.config.clean import CleanConfig, CurateConfig, SplitConfig
from workspace.config.cluster import ClusterConfig
from workspace.config.collect import DownloadConfig, NegativesConfig, NetworkConfig, SearchConfig
from workspace.config.old_names import old_names, rename_old
from workspace.config.operate import RetrainConfig, ServeConfig
from workspace.config.section import Section
from workspace.config.storage import StorageConfig
from workspace.config.train import AugmentConfig, EvaluateConfig, FeaturesConfig, TrackingConfig, TrainConfig
from workspace.errors import ConfigError, UsageError, os_failure
from workspace.names import NO_CLASS, as_text, has_control, is_text, name_key, normalised_name, quoted_pair
from workspace.text.counts import counted
from workspace.text.encoding import decode_text
from workspace.text.invalid_values import NO_SUCH_NAME, place_of, words_of

_NAME_BYTES = 500  # with an address of 2,000 the key of a row, which an index of PostgreSQL must take

COMMAND_LINE = "the command line"
"""The origin of a text that was made from keywords, for messages."""

FROZEN = {"frozen": True}
"""The context of validation for the settings of a run, which may be of an earlier version."""


class WorkspaceConfig(Section):
    """All settings of workspace.toml."""

    seed: int = Field(
        0, ge=0, description="Seed of every random draw: the same seed and pictures give the same result."
    )
    classes: dict[str, tuple[str, ...]] = Field(
        description="One line per class: its name and the keywords to search for, in any language."
    )
    negatives: NegativesConfig = Field(default_factory=NegativesConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)
    network: NetworkConfig = Field(default_factory=NetworkConfig)
    download: DownloadConfig = Field(default_factory=DownloadConfig)
    clean: CleanConfig = Field(default_factory=CleanConfig)
    features: FeaturesConfig = Field(default_factory=FeaturesConfig)
    curate: CurateConfig = Field(default_factory=CurateConfig)
    split: SplitConfig = Field(default_factory=SplitConfig)
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    retrain: RetrainConfig = Field(default_factory=RetrainConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    serve: ServeConfig = Field(default_factory=ServeConfig)
    storage: StorageConfig = Field(default_factory=StorageConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)

    def without_keys(self) -> WorkspaceConfig:
        """Return the settings that other machines may see: none of the sources', which may hold keys."""
        return self.model_copy(update={"search": SearchConfig()})

    @field_validator("classes", mode="before")
    @classmethod
    def _one_keyword_or_several(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        written: dict[str, str] = {}
        for label in map(str, value):
            other = written.setdefault(normalised_name(label), label)
            if other != label:  # one would silently replace the keywords of the other
                raise ValueError(
                    f"the classes {quoted_pair(other, label)} have the same name: accents may be written in two ways, "
                    "and spaces at the ends make no difference; write all keywords on one line"
                )
        return {
            normalised_name(str(label)): (words,) if isinstance(words, str) else words for label, words in value.items()
        }

    @field_validator("classes")
    @classmethod
    def _classes_make_sense(cls, value: dict[str, tuple[str, ...]], info: ValidationInfo) -> dict[str, tuple[str, ...]]:
        problems = []
        if len(value) < 2:
            here = f"here is one, {next(iter(value))!r}" if value else "here is none"
            problems.append(f"a classifier needs at least 2 classes, {here}")
        for label, words in value.items():
            if not label or any(mark in label for mark in "/\\") or label in {".", ".."} or has_control(label):
                problems.append(f"{label!r} cannot name a class: no empty names, slashes, tabs or line breaks")
            if name_key(label) == NO_CLASS and info.context != FROZEN:
                problems.append(
                    f"{label!r} cannot name a class: a model answers {NO_CLASS!r} to a picture of no class; give the "
                    "class another name and leave its keywords as they are"
                )
            if not words or any(not word.strip() for word in words):
                problems.append(f"the class {label!r} needs at least one keyword, and none may be empty")
            if info.context != FROZEN:
                problems += [
                    f"{word[:40]!r}… has {len(as_text(word).encode()):,} bytes; a class or keyword has at most "
                    f"{_NAME_BYTES}"
                    for word in (label, *words)
                    if len(as_text(word).encode()) > _NAME_BYTES
                ]
            problems += [
                f"{word!r} is no text: it has bytes that are not UTF-8" for word in (label, *words) if not is_text(word)
            ]
        labels: dict[str, str] = {}
        for label in value:
            other = labels.setdefault(name_key(label), label)
            if other != label:
                problems.append(
                    f"the classes {quoted_pair(other, label)} have the same name: case, spaces, hyphens, underscores "
                    "and characters without width make no difference"
                )
        if problems:
            raise ValueError("; ".join(problems))
        return {label: tuple(dict.fromkeys(map(normalised_name, words))) for label, words in value.items()}

    @property
    def collected(self) -> dict[str, tuple[str, ...]]:
        """Everything that is collected: the keywords by class, and under the name `none` those of the negatives."""
        return self.classes | ({NO_CLASS: self.negatives.keywords} if self.negatives.wanted else {})

    @model_validator(mode="after")
    def _negatives_are_of_no_class(self) -> Self:
        owners = {name_key(word): label for label, words in self.classes.items() for word in (label, *words)}
        if shared := [word for word in self.negatives.keywords if name_key(word) in owners]:
            owner = owners[name_key(shared[0])]
            raise ValueError(
                f"negatives.keywords has {shared[0]!r}, which the class {owner!r} looks for: what is found by it is of "
                "that class"
            )
        if self.negatives.wanted and any(name_key(label) == NO_CLASS for label in self.classes):
            raise ValueError(f"a workspace with a class {NO_CLASS!r} has no place for negatives")
        return self

    @model_validator(mode="after")
    def _start_pages_are_for_keywords(self) -> Self:
        keywords = [word for words in self.collected.values() for word in words]
        known = {name_key(word) for word in (*keywords, "*")}
        if wrong := [word for word in self.search.website.start_pages if name_key(word) not in known]:
            raise ValueError(
                f"search.website.start_pages has pages for {', '.join(map(repr, wrong))}, which no class looks for; "
                f'the keywords are {", ".join(map(repr, keywords))}, and "*" stands for all'
            )
        return self


def parse_config(
    text: str,
    origin: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    on_old: Callable[[str], None] | None = None,
    frozen: bool = False,
) -> WorkspaceConfig:
    """Read the text of a workspace.toml, or of a run's config.toml.

    Args:
        text: TOML; names of earlier versions are read as those of today.
        origin: where it came from, for the error's text.
        overrides: values by dotted name (`train.backbone`) that win over the text; by names of today only.
        on_old: is told what to rename or to delete where the text is of an earlier version.
        frozen: the text is a run's, whose classes cannot be renamed any more.

    Raises:
        ConfigError: lists every problem of the text together.
        UsageError: the text is right, and an override is wrong or has an old name.
    """
    try:
        values, renamed = rename_old(tomllib.loads(text))
        if sentences := old_names(overrides or {}):
            raise UsageError("; ".join(sentences))
        wanted = copy.deepcopy(values)
        for name, value in (overrides or {}).items():
            _refuse_no_text(name, value)
            _override(wanted, name, value)
        config = WorkspaceConfig.model_validate(wanted, context=FROZEN if frozen else None)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{origin} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise _refusal(error, values, origin, frozen) from error
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from error
    if renamed and on_old is not None:
        on_old(f"{origin} has settings of an earlier version, which is still read; put it right: {'; '.join(renamed)}")
    return config


def load_config(
    path: Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    on_old: Callable[[str], None] | None = None,
    frozen: bool = False,
) -> WorkspaceConfig:
    """Read a workspace.toml, or a run's config.toml; `overrides`, `on_old` and `frozen` as in parse_config.

    Raises:
        ConfigError: it is missing, unreadable or wrong; lists every problem together.
    """
    try:
        text = decode_text(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} does not exist; write one with: collect-and-train init -w {shlex.quote(str(path.parent))}"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {os_failure(error, path)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} cannot be read: {error}; save it as UTF-8") from error
    return parse_config(text, str(path), overrides, on_old=on_old, frozen=frozen)


def _refuse_no_text(name: str, value: Any) -> None:
    """Raise ConfigError for what TOML cannot hold: a path with bytes that are not UTF-8."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    if not is_text(text):
        raise ConfigError(
            f"{name} = {as_text(text)}: workspace.toml cannot hold a name with bytes that are not UTF-8; rename the "
            "file or folder, or name a link to it"
        )


def _override(values: dict[str, Any], name: str, value: Any) -> None:
    *sections, key = name.split(".")
    table: Any = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UsageError(f"{name}: there is no such setting; {section} is a value and has no settings in it")
    table[key] = value


def _refusal(error: ValidationError, values: Mapping[str, Any], origin: str, frozen: bool) -> ConfigError:
    """Tell the problems of the text from those that the overrides brought.

    Args:
        error: of the text with the overrides.
        values: of the text alone.
        origin: of the text.
        frozen: as in parse_config.
    """
    lines, own = _lines(error), []
    try:
        WorkspaceConfig.model_validate(values, context=FROZEN if frozen else None)
    except ValidationError as alone:
        own = _lines(alone)
    given = [line for line in lines if line not in own]
    texts = [
        f"{where} has {counted(len(found), 'problem')}:\n" + "\n".join(found)
        for where, found in ((origin, own), (COMMAND_LINE, given))
        if found
    ]
    return (ConfigError if own and origin != COMMAND_LINE else UsageError)("\n".join(texts))


def _lines(error: ValidationError) -> list[str]:
    """Write a line for each problem: its setting, and what is wrong."""
    lines = []
    for problem in error.errors():
        words = words_of(problem)
        # A table of [search] that no source's settings describe must be an API's; a value there is a wrong name.
        no_table = problem["loc"][:1] == ("search",) and problem["type"] == "model_type"
        if problem["type"] == NO_SUCH_NAME or (no_table and problem["loc"][1] not in SearchConfig.model_fields):
            words = "there is no such setting; `collect-and-train init` shows all of them"
        if problem["type"] == "missing" and problem["loc"] == ("classes",):
            words = 'there are none; name each and its keywords under [classes], such as: cat = ["cat", "kitten"]'
        lines.append(f"  {place_of(problem) or 'the file'}: {words}")
    return lines
