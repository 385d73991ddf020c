"""The demo: a local image site, and a workspace that may use it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import typer

from gallery.site import Gallery
from workspace.config.model import WorkspaceConfig, load_config
from workspace.config.template import render_config
from workspace.errors import ConfigError
from workspace.files.atomic import write_atomic
from workspace.storage.paths import Workspace
from workspace.terminal import say

_PICTURES_PER_CLASS = 60
_CLEAN_PER_CLASS = 55  # a few short of what there is, so that the demo reaches its target in several rounds


@contextmanager
def demo_site(folder: Path, port: int) -> Iterator[Gallery]:
    """Serve the rendered pictures while the block runs, at the address that the demo's workspace.toml names.

    The address is kept from the first run on, so that a run that was killed finds its pictures again.

    Raises:
        ConfigError: the port is taken.
    """
    workspace = Workspace(folder)
    if workspace.config_file.exists():
        port = urlsplit(load_config(workspace.config_file).search.base_url("openverse", "")).port or port
    try:
        site = Gallery.rendered(per_class=_PICTURES_PER_CLASS, port=port)
        site.__enter__()
    except OSError as error:
        raise ConfigError(
            f"port {port} of 127.0.0.1, where the demo's pictures are served, is taken: {error.strerror}; "
            f"stop what uses it, or begin anew: rm -r {shlex.quote(str(folder))}"
        ) from error
    try:
        if not workspace.config_file.exists():
            header = "# The demo's settings; the site it names is served by `collect-and-train demo` itself.\n"
            write_atomic(workspace.config_file, render_config(demo_config(site), header=header).encode())
        yield site
    finally:
        site.__exit__(None, None, None)


def demo_config(site: Gallery) -> WorkspaceConfig:
    """Return the demo's settings: both local sources, private addresses allowed, and a fallback backbone."""
    return WorkspaceConfig.model_validate(
        {
            "classes": {keyword: keyword for keyword in site.keywords},
            "search": {
                "per_class": _CLEAN_PER_CLASS,
                "sources": ("openverse", "results_page"),
                "openverse": {"url": site.openverse_url},
                "results_page": {"url": site.results_url},
            },
            "network": {"allow_private_addresses": True, "per_host_pause_s": 0},
            "download": {"per_host_connections": 16},
            # Fewer fits than the defaults: the whole path in less than three minutes on two cores.
            "train": {"fallback_backbone": "efficientnet_lite0", "folds": 3, "epochs": 6},
        }
    )


def serve_gallery(photos: Path | None, recorded: Path | None, port: int) -> None:
    """Serve a folder, recorded answers, or the rendered pictures until Ctrl-C; print a command that uses the site.

    Raises:
        ConfigError: the folder does not exist or holds nothing to serve, both are named, or the port is taken.
    """
    if photos and recorded:
        raise ConfigError("name one of --photos and --recorded, not both")
    for folder in (photos, recorded):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder")
    if photos:
        site = Gallery.photos(photos, port=port)
    elif recorded:
        site = Gallery.recorded(recorded, port=port)
    else:
        site = Gallery.rendered(per_class=_PICTURES_PER_CLASS, port=port)
    try:
        with site:
            _introduce(site)
            site.serve_forever()
    except OSError as error:
        raise ConfigError(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; try --port 0") from error


def _introduce(site: Gallery) -> None:
    words = shlex.join(site.keywords)
    say(f"Serving {len(site.keywords)} keywords at {site.base_url} until Ctrl-C. In another terminal:")
    typer.echo(
        f"collect-and-train run {words} --workspace data/gallery"
        f" --set search.openverse.url={site.openverse_url}"
        " --set network.allow_private_addresses=true --set network.per_host_pause_s=0"
    )
