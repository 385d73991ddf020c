"""The sources by name, what a person should know of each, and a question to each that shows whether it is up.

A new source is one file with its INFO, and one line here: the name of its module.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from urllib.parse import urlsplit

from pydantic import SecretStr

from collectors.http.recording import NOT_KEPT, record_key_names, recorded_key_names
from collectors.http.session import PoliteSession
from collectors.sources.base import Source, SourceInfo, find_keys
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.model import WorkspaceConfig
from workspace.errors import ConfigError, SourceFailed
from workspace.reasons import find_reason

# The modules of the sources, in the order in which a person reads of them.
_MODULES = (
    "apis.openverse",
    "html.results_page",
    "apis.wikimedia",
    "apis.inaturalist",
    "apis.gbif",
    "apis.flickr",
    "apis.naver",
    "apis.kakao",
    "html.website",
    "local.folder",
    "local.url_list",
    "html.bing",
)

SOURCES: dict[str, SourceInfo] = {
    info.name: info for info in (import_module(f"collectors.sources.{module}").INFO for module in _MODULES)
}

UNSUPPORTED: dict[str, str] = {
    "pexels": "its terms exclude training models on its pictures",
    "unsplash": "its API's terms exclude training models on its pictures",
    "duckduckgo": "it has no API for images, and its terms exclude automated questions",
    "google": "its page of results forbids automated questions, and its API for images is closed to new users",
}


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One line of the table of sources, as texts.

    `key` says which environment variables hold its key and whether they are there; `state` and `reason` are empty
    until it was checked.
    """

    name: str
    summary: str
    key: str
    licenses: str
    limits: str
    state: str = ""
    reason: str = ""


def make_sources(search: SearchConfig) -> dict[str, Source]:
    """The sources that the settings name, in their order.

    Raises:
        ConfigError: a name is not known (lists the known ones), a key is missing (names its environment variable), or
            a source has no licence data although only some licences are wanted; all problems together.
    """
    problems = _unknown_names(search)
    made: dict[str, Source] = {}
    search = search.model_copy(update={"licenses": search.wanted_licenses or (), "exclude_licenses": ()})
    for name in dict.fromkeys(search.sources):
        info = SOURCES.get(name)
        if info is None:
            continue
        if search.licenses and not info.licenses:
            problems.append(
                f"{name} does not say under which licence a picture is, so that search.licenses or "
                "search.exclude_licenses would leave out every one of them; remove one of the two"
            )
        try:
            made[name] = info.factory(search)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("search.sources: " + "; ".join(problems))
    return made


def open_session(network: NetworkConfig, *, connections: int = 4, per_host_connections: int = 4) -> PoliteSession:
    """Open a session that keeps the pause that each source's service asks for; arguments as of PoliteSession."""
    pauses = {urlsplit(info.url).hostname or "": info.pause_s for info in SOURCES.values() if info.pause_s}
    return PoliteSession(
        network, connections=connections, per_host_connections=per_host_connections, host_pauses_s=pauses
    )


def with_recorded_keys(config: WorkspaceConfig) -> SearchConfig:
    """The search settings for a recording or a replay: the first notes which keys are set, the second needs none.

    A source asks otherwise with a key than without one, so a replay has to have those of the recording.

    Raises:
        WorkspaceError: the recording cannot be read or written.
    """
    search, network = config.search, config.network
    if network.record:
        names = {name for info in SOURCES.values() for keys in info.keys for name in keys}
        record_key_names(network.record, [name for name in sorted(names) if find_keys(search, (name,))])
    if not network.replay:
        return search
    credentials = {name: SecretStr(NOT_KEPT) for name in recorded_key_names(network.replay)}
    return search.model_copy(update={"credentials": credentials, "keys_from_environment": False})


def source_rows(search: SearchConfig) -> list[SourceRow]:
    """The table of sources without asking any of them, those that are left out at its end with the reason."""
    rows = [
        SourceRow(
            name=name,
            summary=info.summary + (f" Named explicitly only: {info.opt_in}." if info.opt_in else ""),
            key=_key_text(search, info),
            licenses="yes" if info.licenses else "no",
            limits=info.limits,
        )
        for name, info in SOURCES.items()
    ]
    return rows + [SourceRow(name, f"Left out: {reason}.", "", "", "") for name, reason in UNSUPPORTED.items()]


def check(name: str, session: PoliteSession, search: SearchConfig) -> tuple[str, str]:
    """Ask one source one question.

    Args:
        name: of SOURCES.
        session: the question goes through it.
        search: keys, addresses and settings; its licence filter is not used.

    Returns:
        The state and its reason: `up`, `down`, `blocked` (captcha, 403, 429, a refused key), `changed` (it answers,
        but not as it did), or `not set up` when a key or a setting is missing, so that it was not asked.

    Raises:
        ConfigError: the name is not known.
    """
    if name not in SOURCES:
        raise ConfigError(f"unknown source {name}; the known sources are {', '.join(SOURCES)}")
    info = SOURCES[name]
    missing = [f"search.{name}.{key}" for key in info.settings if not getattr(getattr(search, name), key)]
    if missing:
        return "not set up", f"set {' and '.join(missing)}"
    try:
        source = info.factory(search.model_copy(update={"licenses": (), "exclude_licenses": ()}))
    except ConfigError as error:
        return "not set up", str(error)
    keyword = info.probe(search)
    try:
        page = source.search(session, keyword, None)
    except SourceFailed as error:
        reason = find_reason(error.reason)
        return reason.source_state if reason else "down", str(error)
    if page.hits:
        return "up", f"{len(page.hits)} pictures for {keyword!r}"
    if page.next_cursor is not None:
        return "up", f"it answered, so far without a picture for {keyword!r}"
    return "changed", f"it found nothing at all for {keyword!r}"


def _unknown_names(search: SearchConfig) -> list[str]:
    unknown = [name for name in dict.fromkeys(search.sources) if name not in SOURCES]
    problems = [f"{name} is left out: {UNSUPPORTED[name]}" for name in unknown if name in UNSUPPORTED]
    strange = [name for name in unknown if name not in UNSUPPORTED]
    if strange:
        problems.append(f"unknown {', '.join(strange)}; the known sources are {', '.join(SOURCES)}")
    with_url = {name for name, info in SOURCES.items() if info.url}
    variables = {name for info in SOURCES.values() for names in info.keys for name in names}
    for what, named, known in (
        ("tables [search.NAME]", search.api_tables, with_url),
        ("search.credentials", search.credentials, variables),
    ):
        if wrong := sorted(named.keys() - known):
            problems.append(f"{what}: unknown {', '.join(wrong)}; the known names are {', '.join(sorted(known))}")
    return problems


def _key_text(search: SearchConfig, info: SourceInfo) -> str:
    if not info.keys:
        return "no"
    try:
        there = any(find_keys(search, names) for names in info.keys)
    except ConfigError as error:
        return str(error)
    names = " or ".join(" and ".join(names) for names in info.keys)
    return f"{'optional' if info.keys_optional else 'yes'}: {names} ({'set' if there else 'not set'})"
