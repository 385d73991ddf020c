"""Settings of collection: sources and licences, use of the network, downloads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from workspace.config.section import THIS_RUN_ONLY, Section
from workspace.config.sources import ApiConfig, FolderConfig, ResultsPageConfig, UrlListConfig, WebsiteConfig
from workspace.names import is_text, local_path, normalised_name

LICENSES = ("cc0", "pdm", "by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")
"""Short names of the Creative Commons licences and of its two marks for what belongs to everyone."""

ALL_PICTURES = 100_000
"""The value of `search.per_class` for all pictures that there are, as for own photographs."""

LICENSE_PARTS = ("nc", "nd", "sa")
"""What a licence may ask beside the creator's name: no commercial use, no changes, the same licence."""


def license_is(name: str, wanted: str) -> bool:
    """Return whether a licence is the wanted name or has the wanted part: `by-nc-sa` is `nc`, but not `by-nc`."""
    return wanted in name.split("-") if wanted in LICENSE_PARTS else name == wanted


class SearchConfig(Section):
    """Sources, licences, and the number of pictures wanted.

    A source has a table of its own, as [search.website]. One with an API needs it only to be asked at another base URL,
    such as a stand-in for tests: [search.wikimedia] url = "http://127.0.0.1:8000".
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, ApiConfig]  # the tables of sources with an API, whose names the collectors know

    per_class: int = Field(
        100,
        ge=1,
        le=ALL_PICTURES,
        description="Clean pictures wanted per class; 100000: all there are. `run` and `collect` search, download and "
        "clean until every class has that many or its sources have no more; a class may end with a few more.",
    )
    sources: tuple[str, ...] = Field(
        ("openverse",),
        min_length=1,
        description="Names of the sources to search, in turns; `collect-and-train sources` lists them.",
    )
    licenses: tuple[str, ...] = Field(
        (),
        description='Accepted licences, such as ["cc0", "by", "by-sa"]; empty: any. When this or exclude_licenses is '
        "set, pictures without a known licence are skipped too. Applies to new downloads; `collect-and-train forget "
        "--license` removes existing pictures.",
    )
    exclude_licenses: tuple[str, ...] = Field(
        (),
        description='Excluded licences: parts of a name, as ["nc", "nd"] for all that forbid commercial use or '
        'changes, or whole names, as ["by-nc-sa"].',
    )
    max_rounds: int = Field(
        10, ge=1, le=100, description="Largest number of rounds of search, download and clean in one run."
    )
    max_found_per_picture: int = Field(
        20,
        ge=1,
        le=1000,
        description="Largest number of search hits per picture wanted; a class that needs more gets no further.",
    )
    credentials: dict[str, SecretStr] = Field(
        default_factory=dict,
        description='API keys by the name of their environment variable: {FLICKR_API_KEY = "…"}. A variable that is '
        "set wins, and is safer: this file may be shared.",
    )
    keys_from_environment: bool = Field(
        True, description="Read API keys from the environment too; false: from credentials alone."
    )
    website: WebsiteConfig = Field(default_factory=WebsiteConfig)
    results_page: ResultsPageConfig = Field(default_factory=ResultsPageConfig)
    folder: FolderConfig = Field(default_factory=FolderConfig)
    url_list: UrlListConfig = Field(default_factory=UrlListConfig)

    @field_validator("licenses", "exclude_licenses")
    @classmethod
    def _known_licenses(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip().lower() for name in value))
        known = LICENSES if info.field_name == "licenses" else (*LICENSE_PARTS, *LICENSES)
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"unknown {', '.join(unknown)}; the known names are {', '.join(known)}")
        return names

    @model_validator(mode="after")
    def _some_license_is_left(self) -> Self:
        if self.wanted_licenses == ():
            raise ValueError("exclude_licenses excludes every one of licenses; nothing could be collected")
        return self

    @property
    def wanted_licenses(self) -> tuple[str, ...] | None:
        """The licences that a picture may have, by `licenses` and `exclude_licenses`; None: any, or none stated."""
        if not self.licenses and not self.exclude_licenses:
            return None
        return tuple(
            name
            for name in self.licenses or LICENSES
            if not any(license_is(name, excluded) for excluded in self.exclude_licenses)
        )

    @model_validator(mode="after")
    def _results_page_has_a_url(self) -> Self:
        if "results_page" in self.sources and "{keyword}" not in self.results_page.url:
            raise ValueError("the source results_page needs url in [search.results_page], with {keyword} (and {page})")
        return self

    @property
    def api_tables(self) -> Mapping[str, ApiConfig]:
        """The tables `[search.NAME]` of sources with an API, by source name."""
        return self.__pydantic_extra__ or {}

    def base_url(self, source: str, default: str) -> str:
        """Choose the base URL of a source: `url` of its table, else its own."""
        table = self.api_tables.get(source)
        return table.url if table and table.url else default


class NegativesConfig(Section):
    """Pictures of what is none of the classes, though it may look like them: no class, but what "none" is set by.

    They are collected and cleaned like the classes' pictures, and never trained on.
    """

    keywords: tuple[str, ...] = Field(
        (), description='Keywords to search for, in any language, such as ["bear costume", "teddy bear"].'
    )
    folder: str = Field(
        "", description="Folder of your own pictures of this kind, at any depth; all of them are taken."
    )

    @property
    def place(self) -> Path:
        """Where `folder` is on this machine."""
        return local_path(self.folder)

    @field_validator("keywords", mode="before")
    @classmethod
    def _one_keyword_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("keywords")
    @classmethod
    def _keywords_make_sense(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not word.strip() for word in value):
            raise ValueError("no keyword may be empty")
        if wrong := [word for word in value if not is_text(word)]:
            raise ValueError(f"{wrong[0]!r} is no text: it has bytes that are not UTF-8")
        return tuple(dict.fromkeys(map(normalised_name, value)))

    @property
    def wanted(self) -> bool:
        """Whether there are to be any."""
        return bool(self.keywords or self.folder)


class NetworkConfig(Section):
    """Identification, timeouts, retries, and rules for polite and safe requests."""

    contact: str = Field(
        "",
        description="E-mail address or page where a site's owner can reach you, sent in the User-Agent header; "
        "please set it.",
    )
    allow_private_addresses: bool = Field(
        False,
        description="Allow requests to loopback and private addresses. Only for sites that you run yourself; naming "
        "them in private_hosts is safer.",
    )
    private_hosts: tuple[str, ...] = Field(
        (),
        description='Hosts that may have a private address, without port, such as ["nas.local"]. A redirect from '
        "there to any other private address is refused.",
    )
    robots: bool = Field(
        True,
        description="Obey robots.txt for pages and files; APIs have terms of their own.",
    )
    opt_outs: bool = Field(
        True,
        description="Skip pictures marked noai or noimageai, in X-Robots-Tag or in a page's robots tag.",
    )
    reservations: bool = Field(
        True,
        description="Skip pictures whose owner reserves them from training: Content-Signal: ai-train=no, "
        "Content-Usage: train-ai=n (robots.txt, header), tdm-reservation: 1 (header, page, /.well-known/tdmrep.json).",
    )
    longest_crawl_delay_s: float = Field(
        10, ge=0, description="Upper limit for the Crawl-delay of a robots.txt, in seconds."
    )
    connect_timeout_s: float = Field(10, gt=0, description="Timeout for a connection, in seconds.")
    read_timeout_s: float = Field(20, gt=0, description="Timeout for the next bytes of an answer, in seconds.")
    transfer_timeout_s: float = Field(60, gt=0, description="Timeout for a whole file, in seconds.")
    attempts: int = Field(3, ge=1, le=10, description="Attempts per URL, the first included.")
    longest_wait_s: float = Field(
        120,
        gt=0,
        description="Longest pause that a server may ask for (Retry-After), in seconds; else the URL fails.",
    )
    per_host_pause_s: float = Field(0.1, ge=0, description="Pause between two requests to one host, in seconds.")
    give_up_after: int = Field(
        5, ge=1, description="Failures in a row, for reasons of the host, after which the host is given up."
    )
    give_up_s: float = Field(
        300, gt=0, description="Time before a host that was given up is tried again, with one URL, in seconds."
    )
    max_redirects: int = Field(5, ge=0, le=20, description="Redirects followed per URL.")
    record: str = Field(
        "",
        description="Folder to record every answer of the network in, without keys. Set for one run, with --record.",
        json_schema_extra=THIS_RUN_ONLY,
    )
    replay: str = Field(
        "",
        description="Folder of recorded answers to collect from, without a network. Set for one run, with --replay.",
        json_schema_extra=THIS_RUN_ONLY,
    )

    @model_validator(mode="after")
    def _record_or_replay(self) -> Self:
        if self.record and self.replay:
            raise ValueError("record and replay exclude each other: a replay makes no request that could be recorded")
        return self

    @field_validator("contact")
    @classmethod
    def _fits_in_a_header(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"{value!r} is sent in a header, which takes plain ASCII: use an e-mail address or a page")
        return value.strip()

    @field_validator("private_hosts")
    @classmethod
    def _plain_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        hosts = tuple(host.strip("[]").lower() for host in value)
        wrong = [host for host in hosts if "/" in host or re.fullmatch(r"[^:]*:\d+", host)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: only the host, such as nas.local or 192.168.1.5, without port")
        return hosts


class DownloadConfig(Section):
    """Parallel downloads and the size limit."""

    connections: int = Field(16, ge=1, le=128, description="Parallel downloads.")
    per_host_connections: int = Field(4, ge=1, le=64, description="Parallel downloads from one host.")
    max_mb: float = Field(
        20, gt=0, description="Largest file, in megabytes (10^6 bytes); the transfer of a larger one is aborted."
    )
