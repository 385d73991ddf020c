"""Collections read from disk: a folder of class-named photos, and recorded Openverse answers."""

from __future__ import annotations

import json
import mimetypes
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from PIL import Image, UnidentifiedImageError

from gallery.collection import Collection, SitePicture

RECORDING_PREFIX = "search_images_"
RECORDING_SUFFIXES = ("_close", "_keep-alive")  # the recording proxy's note of the Connection header


def photo_collection(folder: Path) -> Collection:
    """Serve ``folder/<class>/<files>``; a keyword is a class folder's name, rank is the order of file names.

    Nothing is known of the photos' makers and licences, so those fields are null rather than invented.

    Raises:
        FileNotFoundError: There is no class folder with a file in it.
    """
    paths: dict[str, Path] = {}
    listing: dict[str, tuple[SitePicture, ...]] = {}
    for class_folder in sorted(p for p in folder.glob("*") if p.is_dir() and not p.name.startswith(".")):
        keyword = unicodedata.normalize("NFC", class_folder.name)
        pictures = []
        for path in sorted(p for p in class_folder.iterdir() if p.is_file() and not p.name.startswith(".")):
            picture = _photo(keyword, path)
            paths[picture.id] = path
            pictures.append(picture)
        if pictures:
            listing[keyword] = tuple(pictures)
    if not listing:
        raise FileNotFoundError(f"{folder}: no photos; expected one folder per class with image files in it")
    return Collection(listing, listing, lambda picture: paths[picture.id].read_bytes())


def recorded_collection(folder: Path) -> Collection:
    """Replay ``folder/search/*.json`` with the bytes of ``folder/thumbs/<id>.jpg``.

    All recorded pages of one query are merged: the plain query's first, then the filtered ones', without repeats. An id
    without bytes is found by the search and answers 404, as dead links do.

    Raises:
        FileNotFoundError: There is no recorded query.
    """
    thumbs = folder / "thumbs"
    found: dict[str, dict[str, SitePicture]] = {}
    for _, query, path in sorted(_recordings(folder / "search")):
        answer = json.loads(path.read_text(encoding="utf-8"))
        pictures = found.setdefault(query, {})
        for result in answer["results"]:
            pictures.setdefault(result["id"], _recorded_picture(query, result, thumbs))
    if not found:
        raise FileNotFoundError(f"{folder / 'search'}: no recorded answer named {RECORDING_PREFIX}q=WORD….json")
    listing = {query: tuple(pictures.values()) for query, pictures in sorted(found.items())}

    def body(picture: SitePicture) -> bytes | None:
        path = thumbs / picture.name
        return path.read_bytes() if path.is_file() else None

    return Collection(listing, listing, body)


def _photo(keyword: str, path: Path) -> SitePicture:
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"photos/{keyword}/{path.name}"))
    width, height = _size(path)
    return SitePicture(
        id=identity,
        name=identity + path.suffix.lower(),
        keyword=keyword,
        title=path.stem,
        content_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        width=width,
        height=height,
    )


def _recordings(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """List (number of parameters, query, file) of each recorded answer to a query; other recordings are ignored."""
    for path in folder.glob(f"{RECORDING_PREFIX}*.json"):
        text = path.stem.removeprefix(RECORDING_PREFIX)
        for suffix in RECORDING_SUFFIXES:
            text = text.removesuffix(suffix)
        parameters = dict(parse_qsl(text))
        if "q" in parameters:
            yield len(parameters), parameters["q"], path


def _recorded_picture(query: str, result: dict[str, Any], thumbs: Path) -> SitePicture:
    name = f"{result['id']}.jpg"
    width, height = _size(thumbs / name)
    return SitePicture(
        id=result["id"],
        name=name,
        keyword=query,
        title=result.get("title") or "",
        content_type="image/jpeg",
        creator=result.get("creator"),
        creator_url=result.get("creator_url"),
        license=result.get("license"),
        license_version=result.get("license_version"),
        license_url=result.get("license_url"),
        landing_url=result.get("foreign_landing_url"),
        width=width,
        height=height,
        recorded=result,
    )


def _size(path: Path) -> tuple[int | None, int | None]:
    try:
        with Image.open(path) as image:  # reads the header alone
            return image.size
    except (FileNotFoundError, UnidentifiedImageError):
        return None, None
