"""Settings of single sources: addresses, keys, and where local or hand-picked pictures are."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator


class SourceSettings(BaseModel):
    """What some sources need beyond the keyword; part of [search]."""

    urls: dict[str, str] = Field(
        default_factory=dict,
        description="Other base addresses for sources, by their name, such as a stand-in for tests: "
        '{wikimedia = "http://127.0.0.1:8000"}. `collect-and-train sources` shows the names.',
    )
    credentials: dict[str, SecretStr] = Field(
        default_factory=dict,
        description='Keys by the name of their environment variable: {FLICKR_API_KEY = "…"}. The environment wins, '
        "and is the better place: a key here lies in a file that may be shared.",
    )
    website: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="For the source `website`: the pages to start from, by keyword; "
        'under "*" for every keyword, with {keyword} in the address.',
    )
    website_depth: int = Field(1, ge=0, le=10, description="Links followed from a start page, within its site.")
    website_pages: int = Field(100, ge=1, le=2000, description="Pages read per keyword by the source `website`.")
    folder: str = Field(
        "",
        description="For the source `folder`: a folder of your own pictures with one subfolder per keyword; "
        "absolute, or relative to where the command runs.",
    )
    url_list: str = Field(
        "",
        description="For the source `url_list`: a txt, csv, tsv, jsonl or parquet file with the columns url and label "
        "(a keyword), or one file per keyword with {keyword} in its name.",
    )

    @field_validator("urls")
    @classmethod
    def _web_addresses(cls, value: dict[str, str]) -> dict[str, str]:
        wrong = [f"{name} = {url!r}" for name, url in value.items() if not url.startswith(("http://", "https://"))]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must start with http:// or https://")
        return {name: url.rstrip("/") for name, url in value.items()}

    @field_validator("website")
    @classmethod
    def _start_pages(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for keyword, pages in value.items():
            for page in pages:
                if not page.startswith(("http://", "https://")):
                    raise ValueError(f"the start page {page!r} of {keyword!r} must start with http:// or https://")
                if keyword == "*" and "{keyword}" not in page:
                    raise ValueError(f'the start page {page!r} is for every keyword ("*"): it needs {{keyword}} in it')
        return value
