"""Base classes of the JSON files of a run: typed, versioned, read and written in one way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workspace.errors import ModelError
from workspace.files.atomic import write_json
from workspace.text.invalid_values import located

_PROBLEMS_SHOWN = 3


class Part(BaseModel):
    """An object inside an artefact: frozen; keys unknown to this version are kept.

    A field without a default is in every file. One with a default is absent from some, and is written only where it
    was set, so that reading and writing a file loses and invents nothing.
    """

    model_config = ConfigDict(frozen=True, extra="allow")


class Artefact(Part):
    """A whole JSON file of a run.

    Attributes:
        VERSION: the layout that this program writes; it reads every one up to it.
        FORMAT: the value of the field `format` where the file has one: the mark that programs before `version` look
            for; it changes only with what makes a file unreadable to them.
        COMMAND: what makes the file where it is missing.
        REPAIR: what mends a file that cannot be used.
    """

    VERSION: ClassVar[int] = 1
    FORMAT: ClassVar[int | None] = None
    COMMAND: ClassVar[str]
    REPAIR: ClassVar[str]

    version: int = Field(0, description="Layout of the file; 0 (absent) in files of programs before versions.")

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read the file.

        Raises:
            ModelError: it is missing, damaged, of another format, or of a newer version; names the remedy.
        """
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            if not file.parent.exists():
                raise ModelError(
                    f"{file.parent} has no {file.name}: there is no such folder; name another, or make it with: "
                    f"{cls.COMMAND}"
                ) from error
            raise ModelError(f"{file.parent} has no {file.name}; make it with: {cls.COMMAND}") from error
        except NotADirectoryError as error:
            raise ModelError(f"{file.parent} is no folder; name the folder that has {file.name}") from error
        except ValueError as error:
            raise ModelError(f"{file} cannot be used (it is no JSON: cut off or damaged); {cls.REPAIR}") from error
        except OSError as error:
            raise ModelError(f"{file} cannot be read ({error.strerror or error}); {cls.REPAIR}") from error
        try:
            cls._check(file, values)
            return cls.model_validate(values)
        except ValidationError as error:
            raise ModelError(f"{file} cannot be used ({_problems(error)}); {cls.REPAIR}") from error

    @classmethod
    def read_if_present(cls, file: Path) -> Self | None:
        """Read the file; None where it does not exist.

        Raises:
            ModelError: as `read`, but for a missing file.
        """
        return cls.read(file) if file.is_file() else None

    def write(self, file: Path) -> None:
        """Write the file, whole or not at all, with the version first.

        Raises:
            WorkspaceError: it cannot be written.
        """
        write_json(file, {"version": self.VERSION} | self.model_dump(exclude={"version"}, exclude_unset=True))

    @classmethod
    def _check(cls, file: Path, values: Any) -> None:
        """Check version and format before the fields, so that the error names the true cause."""
        if not isinstance(values, dict):
            return  # validation says so
        version = values.get("version", 0)
        if isinstance(version, int) and version > cls.VERSION:
            raise ModelError(
                f"{file} was written by a newer program (version {version}, this one reads up to {cls.VERSION}); "
                "update collect-and-train"
            )
        if cls.FORMAT is not None and values.get("format") != cls.FORMAT:
            raise ModelError(
                f"{file} has format {values.get('format')!r}, this program reads {cls.FORMAT}; {cls.REPAIR}"
            )


def _problems(error: ValidationError) -> str:
    """Format the first few validation errors in one line: `input.crop_px: it is missing`."""
    found = located(error)
    more = f" and {len(found) - _PROBLEMS_SHOWN} more" if len(found) > _PROBLEMS_SHOWN else ""
    return "; ".join(found[:_PROBLEMS_SHOWN]) + more


def why_no_tensors(file: Path) -> str:
    """Say in words why a file of safetensors cannot be read: it is cut off, or damaged."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if length <= file.stat().st_size else None
        ends = [value["data_offsets"][1] for value in header.values() if "data_offsets" in value] if header else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{file.name} is damaged"
    is_cut = header is None or file.stat().st_size < 8 + length + max(ends, default=0)
    return f"{file.name} is cut off" if is_cut else f"{file.name} is damaged"
