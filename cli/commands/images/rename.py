"""The command `rename`: give a class another name; its pictures and what people decided go with it."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.app import OTHER, Folder, app


@app.command(rich_help_panel=OTHER)
def rename(
    folder: Folder,
    old: Annotated[str, typer.Argument(help="The class as it is called now, or was called before.")],
    new: Annotated[str, typer.Argument(help="Its new name.")],
) -> None:
    """Rename a class; its pictures and every decision on them go with it.

    Where workspace.toml names the class anew already, only the pictures and decisions are moved.

    Example: collect-and-train rename -w data/bears grizzly "brown bear"
    """
    from cli.documents.images import Renamed
    from workspace.catalog.renamed_classes import carry_over, known_labels
    from workspace.config.edit import with_renamed_class
    from workspace.errors import ConfigError
    from workspace.files.atomic import write_atomic
    from workspace.names import normalised_name, same_name
    from workspace.resolve import open_workspace
    from workspace.storage.lock import hold
    from workspace.storage.run import next_run
    from workspace.text.encoding import decode_text

    workspace, config = open_workspace(folder)
    with workspace.open_catalog() as catalog:
        known = (*config.classes, *known_labels(catalog))
    new = normalised_name(new)
    old = next((label for label in known if label == old or same_name(label, old)), normalised_name(old))
    file = workspace.config_file
    if old in config.classes and new in config.classes:
        raise ConfigError(
            f"{old!r} and {new!r} are both classes; to make them one, move the keywords of {old!r} to the line of "
            f"{new!r} in {file} and delete the line of {old!r}"
        )
    with hold(workspace, "rename"), workspace.open_catalog() as catalog:
        if old in config.classes:
            text = with_renamed_class(decode_text(file.read_bytes()), str(file), old, new)
            write_atomic(file, text.encode())
            workspace, config = open_workspace(folder)
        elif new not in config.classes:
            raise ConfigError(
                f"neither {old!r} nor {new!r} is a class of {file}; the classes are {', '.join(config.classes)}"
            )
        plan = carry_over(catalog, config.collected, {old: new})
    lines = [*(plan.notes or (f"nothing was filed under {old!r}",)), f"Next: {next_run(workspace)}"]
    document = Renamed(workspace=str(workspace.root), old=old, new=new, notes=list(plan.notes))
    output.answer(document, "\n".join(lines))
