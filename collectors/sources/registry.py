"""Registry of the sources: make them from the settings, describe them, and check whether they are up.

A new source is one file with its INFO, and one line here: the name of its module.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from urllib.parse import urlsplit

from pydantic import SecretStr

from collectors.http.hosts.lane import LaneOfHosts
from collectors.http.recording import NOT_KEPT, record_key_names, recorded_key_names
from collectors.http.session import PoliteSession
from collectors.sources.base import Scoped, Source, SourceInfo, find_keys
from workspace.config.collect import NetworkConfig, SearchConfig
from workspace.config.model import WorkspaceConfig
from workspace.digest import digest
from workspace.errors import ConfigError, SourceFailed
from workspace.reasons import find_reason
from workspace.text.counts import counted

# The modules of the sources, in the order in which they are listed.
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
    "duckduckgo": "it has no image API, and its terms exclude automated requests",
    "google": "its terms forbid automated requests to its results page, and its image API is closed to new users",
}


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of the table of sources, as texts.

    `key` names the environment variables of its key and tells whether they are set; `state` and `reason` are empty
    until it is checked.
    """

    name: str
    summary: str
    key: str
    licenses: str
    limits: str
    state: str = ""
    reason: str = ""


def make_sources(search: SearchConfig) -> dict[str, Source]:
    """Make the sources that the settings name, in their order.

    Raises:
        ConfigError: a name is unknown (lists the known ones), a key is missing (names its environment variable), or a
            source gives no licences although only some are wanted; reports all problems together.
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
                f"{name} gives no licences, so search.licenses or search.exclude_licenses would exclude every picture; "
                f"remove {name} or the licence filter"
            )
        try:
            made[name] = info.factory(search)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("search.sources: " + "; ".join(problems))
    return made


def open_session(
    network: NetworkConfig, *, connections: int = 4, per_host_connections: int = 4, lane: LaneOfHosts | None = None
) -> PoliteSession:
    """Open a session that keeps the pause that each service asks for; arguments as for PoliteSession."""
    pauses = {urlsplit(info.url).hostname or "": info.pause_s for info in SOURCES.values() if info.pause_s}
    return PoliteSession(
        network,
        connections=connections,
        per_host_connections=per_host_connections,
        host_pauses_s=pauses,
        lane=lane,
    )


def with_recorded_keys(config: WorkspaceConfig) -> WorkspaceConfig:
    """Return the settings for a recording, which stores the names of the set keys, or for a replay.

    A source sends other requests with a key than without one, so a replay stands in for the keys of the recording.

    Raises:
        WorkspaceError: the recording cannot be read or written.
    """
    search, network = config.search, config.network
    if network.record:
        names = {name for info in SOURCES.values() for keys in info.keys for name in keys}
        record_key_names(network.record, [name for name in sorted(names) if find_keys(search, (name,))])
    if not network.replay:
        return config
    credentials = {name: SecretStr(NOT_KEPT) for name in recorded_key_names(network.replay)}
    keyed = search.model_copy(update={"credentials": credentials, "keys_from_environment": False})
    return config.model_copy(update={"search": keyed})


def search_scope(config: WorkspaceConfig, name: str, source: Source, keyword: str) -> str:
    """Return a digest of what a search is asked of: the service, the keys, the files and settings.

    Args:
        config: the current settings.
        name: of the source.
        source: made from the same settings.
        keyword: of the search.
    """
    network, info = config.network, SOURCES.get(name)
    parts: list[object] = []
    if info is not None:
        parts += [info.base_url(config.search), [names for names in info.keys if find_keys(config.search, names)]]
        parts += [network.robots, network.opt_outs, network.reservations] if info.crawled else []
    return digest(*parts, source.scope(keyword) if isinstance(source, Scoped) else None)


def source_rows(search: SearchConfig) -> list[SourceRow]:
    """Return the table of sources without any request, the unsupported ones at its end with the reason."""
    rows = [
        SourceRow(
            name=name,
            summary=info.summary + (f" Opt-in: {info.opt_in}." if info.opt_in else ""),
            key=_key_text(search, info),
            licenses="yes" if info.licenses else "no",
            limits=info.limits,
        )
        for name, info in SOURCES.items()
    ]
    return rows + [SourceRow(name, f"Not supported: {reason}.", "", "", "") for name, reason in UNSUPPORTED.items()]


def check(name: str, session: PoliteSession, search: SearchConfig) -> tuple[str, str]:
    """Send one query to one source.

    Args:
        name: of SOURCES.
        session: sends the query.
        search: keys, urls and settings; its licence filter is ignored.

    Returns:
        The state and its reason: `up`, `down`, `blocked` (captcha, 403, 429, a refused key), `changed` (it
        answers in another format), or `not set up` when a key or a setting is missing, so that no query was sent.

    Raises:
        ConfigError: the name is unknown.
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
        return "up", f"{counted(len(page.hits), 'picture')} for {keyword!r}"
    if page.next_cursor is not None:
        return "up", f"it answered, without a picture for {keyword!r}"
    return "changed", f"it found nothing for {keyword!r}"


def _unknown_names(search: SearchConfig) -> list[str]:
    unknown = [name for name in dict.fromkeys(search.sources) if name not in SOURCES]
    problems = [f"{name} is not supported: {UNSUPPORTED[name]}" for name in unknown if name in UNSUPPORTED]
    unrecognised = [name for name in unknown if name not in UNSUPPORTED]
    if unrecognised:
        problems.append(f"unknown {', '.join(unrecognised)}; the known sources are {', '.join(SOURCES)}")
    with_url = {name for name, info in SOURCES.items() if info.url}
    variables = {name for info in SOURCES.values() for names in info.keys for name in names}
    for setting, names, known in (
        ("tables [search.NAME]", search.api_tables, with_url),
        ("search.credentials", search.credentials, variables),
    ):
        if wrong := sorted(names.keys() - known):
            problems.append(f"{setting}: unknown {', '.join(wrong)}; the known names are {', '.join(sorted(known))}")
    return problems


def _key_text(search: SearchConfig, info: SourceInfo) -> str:
    if not info.keys:
        return "no"
    try:
        is_set = any(find_keys(search, names) for names in info.keys)
    except ConfigError as error:
        return str(error)
    names = " or ".join(" and ".join(names) for names in info.keys)
    return f"{'optional' if info.keys_optional else 'yes'}: {names} ({'set' if is_set else 'not set'})"
