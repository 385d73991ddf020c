"""Former settings, in a workspace.toml and in a run's config.toml: read under their present names, or passed over.

Until November 2026 all settings of the sources stood in one flat list under [search].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MOVED = {
    "openverse_url": ("openverse", "url"),
    "results_url": ("results_page", "url"),
    "website": ("website", "start_pages"),
    "website_depth": ("website", "depth"),
    "website_pages": ("website", "pages"),
    "folder": ("folder", "path"),
    "url_list": ("url_list", "file"),
}
_REMOVED = {
    ("features", "views"): "fine-tuning sees a new view of every picture in every epoch",
    ("train", "members"): "one network is fine-tuned, first without one fold, then with every picture",
}
_FORMER_DEFAULTS = {
    ("train", "epochs"): 12,
    ("train", "batch_size"): 32,
    ("train", "backbone_lr"): 0.001,
    ("train", "stage_decay"): 0.5,
    ("train", "weight_decay"): 1e-4,
}
"""Defaults of the fine-tuning before the present one, which `init` wrote out: nobody chose them, and they starve it."""
_SOURCE_OF = {"naver_hub": "naver"}  # among the old `urls`: a second base URL of one source


def rename_old(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Rename settings with former names to their present names, and drop those that no longer exist.

    Returns:
        The settings, and a sentence for each that had an old name, is no more, or was a default of another recipe: what
        it is called now, or why.

    Raises:
        ValueError: a setting stands there under its old and its new name, with different values.
    """
    values, former = _without_former_defaults(values)
    values, removed = _without_removed(values)
    removed = (*removed, *former)
    search = values.get("search")
    if not isinstance(search, Mapping):
        return values, removed
    renamed = {key: value for key, value in search.items() if not _is_old(key, value)}
    sentences = []
    for (table, name), (old, value) in _moved(search).items():
        settings = dict(renamed.get(table, {}))
        if settings.setdefault(name, value) != value:
            raise ValueError(f"search.{old} is the old name of search.{table}.{name}; delete one of the two")
        renamed[table] = settings
        sentences.append(f"search.{old} is now search.{table}.{name}")
    if search.get("urls") == {}:
        sentences.append("search.urls is now url in a table per source, such as search.openverse.url")
    return {**values, "search": renamed}, (*removed, *sentences)


def old_names(overrides: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the present names of overrides that use a former name."""
    sentences: list[str] = []
    for name, value in overrides.items():
        section, _, key = name.partition(".")
        sentences += _without_removed({section: {key: value}})[1]
        if section == "search":
            key, _, inner = key.partition(".")
            sentences += rename_old({"search": {key: {inner: value} if inner else value}})[1]
    return tuple(sentences)


def _without_removed(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    left, sentences = dict(values), []
    for (section, key), why in _REMOVED.items():
        if isinstance(table := left.get(section), Mapping) and key in table:
            left[section] = {name: value for name, value in table.items() if name != key}
            sentences.append(f"{section}.{key} is no setting any more: {why}")
    return left, tuple(sentences)


def _without_former_defaults(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Leave out what an earlier version wrote as its default; a file of that version has features.views."""
    left, sentences = dict(values), []
    tables = {name: table for name, table in values.items() if isinstance(table, Mapping)}
    if "views" in tables.get("features", {}):
        for (section, key), value in _FORMER_DEFAULTS.items():
            table = left.get(section, {})
            if section in tables and table.get(key) == value:
                left[section] = {name: other for name, other in table.items() if name != key}
                sentences.append(f"{section}.{key} = {value:g} was a default and is read as today's")
    return left, tuple(sentences)


def _is_old(key: str, value: Any) -> bool:
    if key == "website" and isinstance(value, Mapping):  # a table then too: lists of pages by keyword
        return any(isinstance(entry, list | tuple) for entry in value.values())
    if isinstance(value, Mapping):
        return key == "urls"
    return key in _MOVED


def _moved(search: Mapping[str, Any]) -> dict[tuple[str, str], tuple[str, Any]]:
    """Map present table and name of each former setting to its former name and its value."""
    moved = {_MOVED[key]: (key, value) for key, value in search.items() if key in _MOVED and _is_old(key, value)}
    urls = search.get("urls", {})
    # An entry of `urls` counted before `openverse_url`, and Naver's new service before its old one.
    for name in sorted(urls, key=lambda name: name in _SOURCE_OF) if isinstance(urls, Mapping) else ():
        moved[_SOURCE_OF.get(name, name), "url"] = (f"urls.{name}", urls[name])
    return moved
