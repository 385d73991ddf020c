"""Settings of collection: sources and licences, use of the network, downloads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from pydantic import ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from workspace.config.section import THIS_RUN_ONLY, Section
from workspace.config.sources import ApiConfig, FolderConfig, ResultsPageConfig, UrlListConfig, WebsiteConfig

LICENSES = ("cc0", "pdm", "by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")
"""Short names of the Creative Commons licences and of its two marks for what belongs to everyone."""

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
        le=100_000,
        description="Clean pictures wanted per class: those that cleaning keeps. `run` and `collect` search, download "
        "and clean until every class has so many or its sources have no more; a class may end with a few more.",
    )
    sources: tuple[str, ...] = Field(
        ("openverse",),
        min_length=1,
        description="Sources to ask, in turns, by their names; see `collect-and-train sources`.",
    )
    licenses: tuple[str, ...] = Field(
        (),
        description='Only these licences, such as ["cc0", "by", "by-sa"]; empty: any. Pictures whose licence is not '
        "known are left out when this or exclude_licenses is set. Counts for what is collected from now on; "
        "`collect-and-train forget --license` removes what is there.",
    )
    exclude_licenses: tuple[str, ...] = Field(
        (),
        description='Never these licences: parts of a name, ["nc", "nd"] for all that forbid commercial use or '
        'changes, or whole names, ["by-nc-sa"].',
    )
    max_rounds: int = Field(10, ge=1, le=100, description="Rounds of search, download and clean in one run at most.")
    max_found_per_picture: int = Field(
        20,
        ge=1,
        le=1000,
        description="Pictures to look for per picture wanted, at most: a class that needs more is given up.",
    )
    credentials: dict[str, SecretStr] = Field(
        default_factory=dict,
        description='Keys by the name of their environment variable: {FLICKR_API_KEY = "…"}. The environment wins, '
        "and is the better place: a key here lies in a file that may be shared.",
    )
    keys_from_environment: bool = Field(
        True, description="Look for keys in the environment; off: in credentials alone."
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


class NetworkConfig(Section):
    """Identification, timeouts, retries, and rules for polite and safe requests."""

    contact: str = Field(
        "",
        description="An address or page where a site's owner reaches you; sent in the user agent. Please set it.",
    )
    allow_private_addresses: bool = Field(
        False,
        description="Fetch from loopback and private addresses too. Only for sites that you run yourself; better, name "
        "them in private_hosts.",
    )
    private_hosts: tuple[str, ...] = Field(
        (),
        description='Hosts that may have a private address, as their urls name them, without port: ["nas.local"]. '
        "A redirect from there to any other private address is still refused.",
    )
    robots: bool = Field(
        True,
        description="Keep to robots.txt for pages that are read and for every file; an API has terms of its own.",
    )
    opt_outs: bool = Field(
        True,
        description="Leave alone what says noai or noimageai, in X-Robots-Tag or in a page's robots tag.",
    )
    longest_crawl_delay_s: float = Field(
        10, ge=0, description="Longest Crawl-delay of a robots.txt that is kept to, in seconds; a longer one counts so."
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
    give_up_after: int = Field(
        5, ge=1, description="Urls in a row that fail for reasons of their host, after which the host is given up."
    )
    give_up_s: float = Field(
        300, gt=0, description="How long a host that was given up is left alone before one url tries it, in seconds."
    )
    max_redirects: int = Field(5, ge=0, le=20, description="Redirects followed per address.")
    record: str = Field(
        "",
        description="A folder that keeps every answer of the network, without keys; best given for one run: --record.",
        json_schema_extra=THIS_RUN_ONLY,
    )
    replay: str = Field(
        "",
        description="A folder of kept answers, from which the same collection runs without a network: --replay.",
        json_schema_extra=THIS_RUN_ONLY,
    )

    @model_validator(mode="after")
    def _record_or_replay(self) -> Self:
        if self.record and self.replay:
            raise ValueError("record and replay exclude each other; a replay asks nobody, so there is nothing to keep")
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

    connections: int = Field(16, ge=1, le=128, description="Files fetched at a time.")
    per_host_connections: int = Field(4, ge=1, le=64, description="Files fetched at a time from one host.")
    max_mb: float = Field(
        20, gt=0, description="Largest file, in megabytes (10^6 bytes); more is refused in mid-transfer."
    )
