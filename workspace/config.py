"""The settings of a workspace: one frozen model per step, read from workspace.toml.

Every field carries its unit in its name or its description; `workspace.template` prints these descriptions as
the comments of a new workspace.toml, so that they are written once.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from workspace.errors import ConfigError
from workspace.source_config import SourceSettings

Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of the sections: frozen, and unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Wanted(Section):
    """The part of SearchConfig that most people change; apart, so that it comes first in workspace.toml."""

    per_class: int = Field(100, ge=1, le=100_000, description="Pictures to look for per class.")
    sources: tuple[str, ...] = Field(
        ("openverse",),
        min_length=1,
        description="Sources to ask, in turns: openverse, wikimedia, inaturalist, gbif, flickr, naver, kakao, website, "
        "results_page, folder, url_list, bing; `collect-and-train sources` tells them apart.",
    )
    licenses: tuple[str, ...] = Field(
        (),
        description='Only these licences, such as ["cc0", "by", "by-sa"]; empty: any. '
        "Pictures whose licence is not known are left out when this is set.",
    )
    openverse_url: str = Field(
        "https://api.openverse.org/v1",
        description="Base address of the Openverse API, or of a stand-in for it.",
    )
    results_url: str = Field(
        "",
        description="For the source `results_page`: address of a site's own image search, with {keyword} and {page}.",
    )

    @field_validator("openverse_url", "results_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} must start with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _results_page_has_an_address(self) -> Self:
        if "results_page" in self.sources and "{keyword}" not in self.results_url:
            raise ValueError("the source results_page needs results_url with {keyword} (and {page}) in it")
        return self


class SearchConfig(SourceSettings, _Wanted):
    """Where pictures are looked for, and how many."""


class NetworkConfig(Section):
    """How the network is used: who we say we are, how patient and how careful we are."""

    contact: str = Field(
        "",
        description="An address or page where a site's owner reaches you; sent in the user agent. Please set it.",
    )
    allow_private_addresses: bool = Field(
        False,
        description="Fetch from loopback and private addresses too. Only for sites that you run yourself.",
    )
    connect_timeout_s: float = Field(10, gt=0, description="Longest wait for a connection, in seconds.")
    read_timeout_s: float = Field(20, gt=0, description="Longest silence in an answer, in seconds.")
    transfer_timeout_s: float = Field(
        60, gt=0, description="Longest time for one file from first to last byte, in seconds."
    )
    attempts: int = Field(3, ge=1, le=10, description="Tries per address, the first included.")
    longest_wait_s: float = Field(
        120,
        gt=0,
        description="Longest pause that a server may ask for (Retry-After), in seconds; past it we give up.",
    )
    per_host_pause_s: float = Field(0.1, ge=0, description="Pause between two requests to one host, in seconds.")
    max_redirects: int = Field(5, ge=0, le=20, description="Redirects followed per address.")


class DownloadConfig(Section):
    """How files are fetched."""

    connections: int = Field(16, ge=1, le=128, description="Files fetched at a time.")
    per_host_connections: int = Field(4, ge=1, le=64, description="Files fetched at a time from one host.")
    max_mb: float = Field(
        20, gt=0, description="Largest file, in megabytes (10^6 bytes); more is refused in mid-transfer."
    )


class CleanConfig(Section):
    """What counts as a usable picture, and as a copy."""

    max_megapixels: float = Field(50, gt=0, description="Largest picture, read from the file's head before decoding.")
    min_side_px: int = Field(64, ge=1, description="Shorter side of the smallest usable picture, in pixels.")
    max_aspect: float = Field(5.0, ge=1, description="Longer side over shorter side, at most.")
    min_contrast: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Standard deviation of the grey levels (0 to 1) below which a picture is blank.",
    )
    cache_side_px: int = Field(
        256, ge=64, le=1024, description="Shorter side of the decoded pictures kept in the cache, in pixels."
    )
    same_distance: int = Field(
        12,
        ge=0,
        le=64,
        description="pHash plus dHash distance up to which two pictures are the same one (of 128 bits).",
    )
    kin_distance: int = Field(
        16,
        ge=0,
        le=64,
        description="Distance up to which two pictures are kin: both kept, always in the same split.",
    )
    mirrored: bool = Field(True, description="A mirrored copy is a copy too. Turn it off where left and right matter.")
    rank_margin: int = Field(
        10,
        ge=1,
        description="A picture found under two classes stays where it ranked higher by this many places; "
        "with less between them it is dropped from both.",
    )
    workers: int = Field(0, ge=0, description="Processes that decode; 0: one per core.")


class FeaturesConfig(Section):
    """How pictures become numbers."""

    batch_size: int = Field(32, ge=1, description="Pictures per forward pass.")
    views: int = Field(
        2,
        ge=0,
        le=16,
        description="Augmented views of each training picture that are cached for fine-tuning.",
    )


class CurateConfig(Section):
    """Off-topic pictures and label errors: a pass-through until its own release."""


class SplitConfig(Section):
    """How the dataset is divided."""

    train: Fraction = Field(0.70, description="Share for training.")
    val: Fraction = Field(0.15, description="Share that chooses between models.")
    test: Fraction = Field(0.15, description="Share that is looked at once, for the reported numbers.")
    min_per_class: int = Field(8, ge=3, description="Fewest clean pictures a class must have for training to start.")

    @model_validator(mode="after")
    def _shares_add_up(self) -> SplitConfig:
        if abs(self.train + self.val + self.test - 1) > 1e-6:
            raise ValueError(
                f"train, val and test add up to {self.train + self.val + self.test:g}; they must add up to 1"
            )
        return self


class AugmentConfig(Section):
    """What may happen to a training picture."""

    flip: bool = Field(True, description="Mirror left to right. Off for text, hands, traffic signs.")
    vertical_flip: bool = Field(False, description="Mirror top to bottom. On for pictures from above.")
    hue: bool = Field(True, description="Shift colours a little. Off where colour is the label.")


class TrainConfig(Section):
    """Which network, and how it is trained."""

    backbone: str = Field("resnet50", description="resnet50 or efficientnet_lite0.")
    weights: Literal["imagenet", "random"] = Field(
        "imagenet", description="Start from ImageNet, or from nothing (for tests only)."
    )
    weights_file: str = Field(
        "",
        description="A file with the backbone's ImageNet weights (state_dict); empty: looked up, then downloaded.",
    )
    fallback_backbone: str = Field(
        "", description="Used when the backbone's weights are not to be had; empty: that is an error."
    )
    head_lr: float = Field(0.01, gt=0, description="Learning rate of the head in fine-tuning.")
    backbone_lr: float = Field(0.001, gt=0, description="Learning rate of the unfrozen stage: a tenth of the head's.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(1e-4, ge=0, description="Weight decay of SGD.")
    epochs: int = Field(12, ge=0, description="Passes over the cached views in fine-tuning; 0: the linear head only.")
    batch_size: int = Field(32, ge=2, description="Pictures per step of fine-tuning.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU where there is one.")


class EvaluateConfig(Section):
    """How sure the numbers are."""

    bootstrap: int = Field(2000, ge=100, description="Bootstrap draws for the 95 % intervals, over groups.")


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
        folded: dict[str, str] = {}
        for label in value:
            other = folded.setdefault(label.casefold(), label)
            if other != label:
                problems.append(f"the classes {other!r} and {label!r} differ only in case")
        if problems:
            raise ValueError("; ".join(problems))
        return {
            label: tuple(unicodedata.normalize("NFC", word).strip() for word in words) for label, words in value.items()
        }


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
