"""The command `forget`: withdraw pictures by creator, URL or licence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.app import OTHER, Folder, app
from workspace.text.counts import counted

if TYPE_CHECKING:
    from cli.documents.images import Forgotten
    from preprocessing.dataset.usage import RunUse
    from workspace.catalog.records import Withdrawal
    from workspace.served.kept import KeptPicture
    from workspace.storage.paths import Workspace
    from workspace.storage.withdrawal import WithdrawalScope

Several = list[str] | None

_SHOWN = 5  # names of files in one line


@app.command(rich_help_panel=OTHER)
def forget(
    folder: Folder,
    creator: Annotated[Several, typer.Option(help="All pictures by this creator; repeatable.")] = None,
    url: Annotated[Several, typer.Option(help="A picture by its URL, or by that of its page; repeatable.")] = None,
    license: Annotated[  # noqa: A002 (the option's name)
        Several,
        typer.Option(help="All pictures under this licence, such as by-nc, or a part of it, such as nc; repeatable."),
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="A picture by a copy of its file, wherever that lies; repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Withdraw pictures for good: delete their files, never fetch them again, and list the models that used them.

    Example: collect-and-train forget -w data/pandas --creator "Jane Doe"
    """
    from preprocessing.dataset.usage import runs_using
    from workspace.catalog.exclusions import WithdrawalRules
    from workspace.config.model import load_config
    from workspace.errors import WorkspaceError
    from workspace.moving.move import command, read_move
    from workspace.served.kept import KeptPictures
    from workspace.storage.lock import hold
    from workspace.storage.paths import Workspace
    from workspace.storage.run import next_run
    from workspace.storage.withdrawal import find_scope, withdraw

    workspace = Workspace(folder)
    load_config(workspace.config_file)  # a folder that is no workspace is not made one
    rules = _rules(creator or [], url or [], license or [], file or [])
    if not rules:
        raise typer.BadParameter("name --creator, --url, --license or --file")
    if (under_way := read_move(workspace)) is not None:
        raise WorkspaceError(
            f"a move of {workspace.root} was interrupted, and a copy of what is withdrawn might stay where it came to; "
            f"finish it first: {command(workspace, under_way.target)}"
        )
    with hold(workspace, "forget"), workspace.open_catalog() as catalog:
        wanted = WithdrawalRules.of(rules)
        found = find_scope(catalog, wanted)
        kept = KeptPictures(workspace)
        served = kept.matching({*found.files, *wanted.files}, wanted.urls)
        uses = runs_using(workspace, found.files)
        places = dict.fromkeys((str(workspace.runs), workspace.files.where("runs")))
        _announce(found, uses, served, " and ".join(places))
        if dry_run:
            output.answer(_document(workspace, found, uses, served, changed=False), "Nothing was changed (--dry-run).")
            return
        if not yes:
            _ask()
        withdraw(workspace, catalog, rules, found)
        kept.delete(served)
    withdrawn = ", ".join(f"{rule.kind} {rule.value!r}" for rule in rules)
    output.answer(
        _document(workspace, found, uses, served, changed=True),
        f"Withdrawn. Later search hits under {withdrawn} will be skipped too.\n"
        f"Next, without them: {next_run(workspace)}",
    )


def _rules(
    creators: Sequence[str], urls: Sequence[str], licenses: Sequence[str], files: Sequence[Path]
) -> list[Withdrawal]:
    from collectors.url_identity import canonical_url, is_too_long
    from workspace.catalog.records import Withdrawal
    from workspace.clock import utc_now
    from workspace.config.collect import LICENSE_PARTS, LICENSES
    from workspace.licenses import license_from
    from workspace.reasons import WITHDRAWN_FILE

    if empty := [word for word in (*creators, *urls, *licenses) if not word.strip()]:
        raise typer.BadParameter(f"{empty[0]!r} names nothing")
    now = utc_now()
    rules = [Withdrawal("creator", name.strip(), now) for name in creators]
    for url in urls:
        canonical = canonical_url(url.strip())
        forms = (canonical,) if is_too_long(canonical) else dict.fromkeys((url.strip(), canonical))
        rules += [Withdrawal("url", form, now) for form in forms]
    for word in licenses:
        name = word.strip().lower()
        name = name if name in (*LICENSES, *LICENSE_PARTS) else license_from(word)
        if not name:
            known = ", ".join((*LICENSE_PARTS, *LICENSES))
            raise typer.BadParameter(f"--license {word!r} is not known; the known names are {known}")
        rules.append(Withdrawal("license", name, now))
    return rules + [Withdrawal(WITHDRAWN_FILE, _digest(file), now) for file in files]


def _digest(file: Path) -> str:
    import hashlib

    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise typer.BadParameter(f"--file {file} cannot be read: {error.strerror}") from error


def _document(
    workspace: Workspace,
    found: WithdrawalScope,
    uses: Sequence[RunUse],
    served: Sequence[KeptPicture],
    *,
    changed: bool,
) -> Forgotten:
    from cli.documents.images import Forgotten, UsingRun

    return Forgotten(
        workspace=str(workspace.root),
        changed=changed,
        urls=len(found.urls),
        pictures=len(found.new),
        withdrawn_before=len(found.files) - len(found.new),
        kept_by_service=len(served),
        own_files=_own_files(found, served),
        runs=[UsingRun(run_id=use.run_id, pictures=use.pictures, standing=use.standing) for use in uses],
    )


def _own_files(found: WithdrawalScope, served: Sequence[KeptPicture]) -> list[str]:
    """List the files of a person, without the copies that the service put into the inbox."""
    copies = tuple(one.sha256 for one in served)
    return [
        url
        for url in found.urls
        if not url.startswith(("http://", "https://")) and not any(sha in url for sha in copies)
    ]


def _name_of(url: str) -> str:
    """Name a person's own file by its place, not by the URL that the catalogue has for it."""
    from urllib.parse import unquote

    from collectors.intake import INBOX_SCHEME
    from workspace.names import one_line

    scheme, _, quoted = url.partition(":")
    place = "inbox/" if f"{scheme}:" == INBOX_SCHEME and not quoted.startswith("/") else ""
    return place + one_line(unquote(quoted.rpartition("?")[0] or quoted, errors="surrogateescape").lstrip("/"))


def _announce(found: WithdrawalScope, uses: Sequence[RunUse], served: Sequence[KeptPicture], runs: str) -> None:
    before = len(found.files) - len(found.new)
    output.tell(
        f"{counted(len(found.urls), 'URL')}, {counted(len(found.new), 'stored picture')}"
        + (f" ({before} more were withdrawn before)" if before else "")
    )
    if served:
        output.tell(f"{counted(len(served), 'picture')} that the service kept, with their copies in the inbox")
    own = _own_files(found, served)
    if own:
        more = f" and {len(own) - _SHOWN} more" if len(own) > _SHOWN else ""
        output.tell(
            f"  among them your own files, which stay where they are: {', '.join(map(_name_of, own[:_SHOWN]))}{more}"
        )
    if not uses:
        output.tell("No run has used them.")
    for use in uses:
        what = {
            "live": "its model is live; it was trained or evaluated on them",
            "published": "its model was published before",
            "trained": "its model was never published",
            "dataset": "it has no model yet",
        }[use.standing]
        output.tell(f"  run {use.run_id} has {use.pictures} of them; {what}")
    if uses:
        output.tell(
            "The frozen lists of these runs still name them, and their reports may show small copies; "
            f"once another model is live, delete their folders in {runs} if these must go too."
        )


def _ask() -> None:
    if output.wants_json():
        raise typer.BadParameter("with --json nobody is asked; add --yes, or use --dry-run first")
    if not sys.stdin.isatty():
        raise typer.BadParameter("stdin is no terminal, so nobody can confirm; add --yes, or use --dry-run first")
    typer.confirm("Withdraw them? This cannot be undone.", abort=True)
