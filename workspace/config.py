"""The settings of a workspace: one frozen model per step, read from workspace.toml.

The sections stand in collect_config.py, clean_config.py, train_config.py and retrain_config.py. Every field carries
its unit in its name or its description; `workspace.template` prints these descriptions as the comments of a new
workspace.toml, so that they are written once.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from workspace.clean_config import CleanConfig, CurateConfig, SplitConfig
from workspace.collect_config import DownloadConfig, NetworkConfig, SearchConfig
from workspace.errors import ConfigError
from workspace.names import name_key
from workspace.retrain_config import RetrainConfig
from workspace.section import Section
from workspace.train_config import AugmentConfig, EvaluateConfig, FeaturesConfig, TrainConfig


class WorkspaceConfig(Section):
    """All of workspace.toml."""

    seed: int = Field(0, ge=0, description="Same seed, same pictures: same result.")
    classes: dict[str, tuple[str, ...]] = Field(
        description="One line per class: its name and the keywords to search for, in any script."
    )
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

    @field_validator("classes", mode="before")
    @classmethod
    def _one_keyword_or_several(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {
            unicodedata.normalize("NFC", str(label)).strip(): (words,) if isinstance(words, str) else words
            for label, words in value.items()
        }

    @field_validator("classes")
    @classmethod
    def _classes_make_sense(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        problems = []
        if len(value) < 2:
            problems.append(f"a classifier needs at least 2 classes, here are {len(value)}")
        for label, words in value.items():
            if not label or any(mark in label for mark in "/\\\0\n\t") or label in {".", ".."}:
                problems.append(f"{label!r} cannot name a class: no empty names, slashes, tabs or line breaks")
            if not words or any(not word.strip() for word in words):
                problems.append(f"the class {label!r} needs at least one keyword, and none may be empty")
        labels: dict[str, str] = {}
        for label in value:
            other = labels.setdefault(name_key(label), label)
            if other != label:
                problems.append(
                    f"the classes {other!r} and {label!r} have the same name: case, spaces, hyphens and underscores "
                    "make no difference"
                )
        if problems:
            raise ValueError("; ".join(problems))
        return {
            label: tuple(unicodedata.normalize("NFC", word).strip() for word in words) for label, words in value.items()
        }

    @model_validator(mode="after")
    def _start_pages_are_for_keywords(self) -> Self:
        keywords = [word for words in self.classes.values() for word in words]
        known = {name_key(word) for word in (*keywords, "*")}
        if wrong := [word for word in self.search.website if name_key(word) not in known]:
            raise ValueError(
                f"search.website has start pages for {', '.join(map(repr, wrong))}, which no class looks for; the "
                f'keywords are {", ".join(map(repr, keywords))}, and "*" stands for all'
            )
        return self


def parse_config(text: str, place: str, overrides: Mapping[str, Any] | None = None) -> WorkspaceConfig:
    """Read the text of a workspace.toml.

    Args:
        text: TOML.
        place: where it came from, for the error's text.
        overrides: values by dotted name (`train.backbone`) that win over the text.

    Raises:
        ConfigError: lists every problem of the text together.
    """
    try:
        values = tomllib.loads(text)
        for name, value in (overrides or {}).items():
            *sections, key = name.split(".")
            here = values
            for section in sections:
                here = here.setdefault(section, {})
            here[key] = value
        return WorkspaceConfig.model_validate(values)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{place} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigError(_problems(error, place)) from error


def load_config(path: Path, overrides: Mapping[str, Any] | None = None) -> WorkspaceConfig:
    """Read a workspace.toml; `overrides` as in parse_config.

    Raises:
        ConfigError: it is missing, unreadable or wrong; lists every problem together.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist; write one with: collect-and-train init -w {path.parent}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return parse_config(text, str(path), overrides)


def _problems(error: ValidationError, place: str) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "the file"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "there is no such setting; `collect-and-train init` shows all of them"
        lines.append(f"  {where}: {message}")
    return f"{place} has {len(lines)} problem{'s' if len(lines) > 1 else ''}:\n" + "\n".join(lines)
