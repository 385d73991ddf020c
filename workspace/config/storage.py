"""Settings of where a workspace's files lie."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from workspace.config.section import EXECUTION_ONLY, Section
from workspace.errors import ConfigError
from workspace.text import decode_text

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class StorageConfig(Section):
    """Where the workspace is kept when it outgrows one machine's disk; `collect-and-train move` changes it."""

    catalog: str = Field(
        "",
        description="Name of the environment variable with the address of a database on PostgreSQL, such as "
        "postgresql://user:password@host/database, so that no password stands here; empty: catalog.sqlite.",
        json_schema_extra=EXECUTION_ONLY,
    )

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
        problems = "; ".join(
            f"storage.{'.'.join(map(str, problem['loc']))} {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors()
        )
        raise ConfigError(f"{file}: {problems}") from error


@functools.lru_cache(maxsize=64)
def _read(file: Path, _changed_ns: int, _bytes: int) -> StorageConfig:
    """Read the file; once for each state of it, since every access to a file asks."""
    return StorageConfig.model_validate(tomllib.loads(decode_text(file.read_bytes())).get("storage", {}))
