"""Settings of each source: the tables `[search.NAME]` of workspace.toml."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from workspace.config.section import Section
from workspace.names import local_path


def checked_url(url: str) -> str:
    """Return a base URL without a slash at its end.

    Raises:
        ValueError: it is no http or https URL; empty is allowed.
    """
    if url and not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} must start with http:// or https://")
    return url.rstrip("/")


class ApiConfig(Section):
    """A service with an API; a table is needed only for another base URL, such as a stand-in for tests."""

    url: str = Field("", description="Base URL; empty: the service's own.")

    _url = field_validator("url")(checked_url)


class WebsiteConfig(Section):
    """The source `website`: start pages, and how far links are followed."""

    start_pages: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description='Start pages by keyword: {"red panda" = ["https://…"]}; under "*" those of every keyword, with '
        "{keyword} in the URL.",
    )
    depth: int = Field(1, ge=0, le=10, description="Links followed from a start page, within its site.")
    pages: int = Field(100, ge=1, le=2000, description="Pages read per keyword.")

    @field_validator("start_pages")
    @classmethod
    def _start_pages(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for keyword, pages in value.items():
            for page in pages:
                if not page.startswith(("http://", "https://")):
                    raise ValueError(f"the start page {page!r} of {keyword!r} must start with http:// or https://")
                if keyword == "*" and "{keyword}" not in page:
                    raise ValueError(f'the start page {page!r} is for every keyword ("*"): it needs {{keyword}} in it')
        return value


class ResultsPageConfig(Section):
    """The source `results_page`: one site's own image search."""

    url: str = Field("", description="URL of the site's page of results, with {keyword} and {page}.")

    _url = field_validator("url")(checked_url)


class FolderConfig(Section):
    """The source `folder`: your own pictures."""

    path: str = Field(
        "",
        description="A folder with one subfolder per keyword, a zip archive of one, or a csv, tsv, jsonl or parquet "
        "file with the columns path and label; absolute, or relative to the current folder.",
    )

    @property
    def place(self) -> Path:
        """Where `path` is on this machine."""
        return local_path(self.path)


class UrlListConfig(Section):
    """The source `url_list`: a list of URLs that you already have."""

    file: str = Field(
        "",
        description="A txt, csv, tsv, jsonl or parquet file with the columns url and label (a keyword), or one file "
        "per keyword with {keyword} in its name.",
    )

    def place(self, keyword: str) -> Path:
        """Where the file of a keyword is on this machine."""
        return local_path(self.file.replace("{keyword}", keyword))
