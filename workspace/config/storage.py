"""Settings of where a workspace's files lie."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from workspace.config.section import EXECUTION_ONLY, Section
from workspace.errors import ConfigError
from workspace.text.encoding import decode_text
from workspace.text.invalid_values import place_of, words_of

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()=-]+)*")


class StorageConfig(Section):
    """Where the workspace is kept when it outgrows one machine's disk; `collect-and-train move` changes it."""

    files: str = Field(
        "",
        description="Where pictures, finished runs and models lie: s3://BUCKET/PREFIX; empty: in the workspace's "
        "folder. Keys, region and endpoint come from AWS_* in the environment, never from here.",
        json_schema_extra=EXECUTION_ONLY,
    )

    catalog: str = Field(
        "",
        description="Name of the environment variable with the address of a database on PostgreSQL, such as "
        "postgresql://user:password@host/database, so that no password stands here; empty: catalog.sqlite.",
        json_schema_extra=EXECUTION_ONLY,
    )

    @field_validator("files")
    @classmethod
    def _address(cls, value: str) -> str:
        """Check the address; the text does not repeat it, since somebody may have put a key into it."""
        address = value.rstrip("/") if value.startswith("s3://") else value
        if address and not _ADDRESS.fullmatch(address) or {".", ".."} & set(address.split("/")):
            raise ValueError(
                "must be s3://BUCKET/PREFIX, such as s3://my-bucket/pandas, of a bucket's name (lower case, digits, "
                "dots, hyphens) and letters, digits and -_.=; keys and endpoint belong into the environment (AWS_*)"
            )
        return address

    @field_validator("catalog")
    @classmethod
    def _names_a_variable(cls, value: str) -> str:
        """Check the name; the text does not repeat it, since somebody may have put the address itself there."""
        if value and not _VARIABLE.fullmatch(value):
            raise ValueError(
                "must be the name of an environment variable, in letters, digits and underscores; the address itself, "
                "which may hold a password, belongs into that variable"
            )
        return value


def read_storage(file: Path) -> StorageConfig:
    """Read the section [storage] of a workspace.toml alone; a file that is not there has the defaults.

    Raises:
        ConfigError: the file or the section cannot be used.
    """
    try:
        state = file.stat()
        return _read(file, state.st_mtime_ns, state.st_size)
    except (FileNotFoundError, NotADirectoryError):
        return StorageConfig()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{file}: {_problems(error, 'storage.')}") from None  # it may hold what was written there


def changed_storage(storage: StorageConfig, **changes: str) -> StorageConfig:
    """Return the settings with other values, checked.

    Raises:
        ConfigError: a value cannot be used.
    """
    try:
        return StorageConfig.model_validate(storage.model_dump() | changes)
    except ValidationError as error:
        raise ConfigError(_problems(error, "storage.")) from None


def _problems(error: ValidationError, prefix: str) -> str:
    return "; ".join(f"{prefix}{place_of(problem)} {words_of(problem)}" for problem in error.errors())


@functools.lru_cache(maxsize=64)
def _read(file: Path, _changed_ns: int, _bytes: int) -> StorageConfig:
    """Read the file; once for each state of it, since every access to a file asks."""
    return StorageConfig.model_validate(tomllib.loads(decode_text(file.read_bytes())).get("storage", {}))
