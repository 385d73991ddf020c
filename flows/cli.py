"""The command line: `collect-and-train`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.opening import folder_for, open_workspace, parse_overrides, write_example
from flows.progress import CONSOLE, listening
from workspace.errors import CollectAndTrainError

app = typer.Typer(
    name="collect-and-train",
    help="Search keywords in, a trained and honestly evaluated image classifier out.\n\n"
    "Try it without an account: [bold]collect-and-train demo[/]. "
    'Your own: [bold]collect-and-train run "red panda" raccoon[/].',
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Folder = Annotated[
    Path, typer.Option("--workspace", "-w", help="The workspace: one folder that owns one classifier's whole life.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="A setting of workspace.toml, for this run; repeatable."),
]
WHOLE_PATH = "The whole path"
STEPS = "Single steps (each does only what is not done yet)"
OTHER = "Other"


@app.command(rich_help_panel=WHOLE_PATH)
def run(
    keywords: Annotated[
        list[str] | None, typer.Argument(help="One class each; none: the classes of workspace.toml.")
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option("--workspace", "-w", help="The workspace's folder; made when new.", show_default="data/KEYWORDS"),
    ] = None,
    per_class: Annotated[int | None, typer.Option(min=1, help="Pictures to look for per class.")] = None,
    backbone: Annotated[str | None, typer.Option(help="resnet50 or efficientnet_lite0.")] = None,
    settings: Settings = None,
) -> None:
    """Keywords in, classifier out: every step, only what is not done yet.

    Example: collect-and-train run "red panda" raccoon --per-class 100 --workspace data/pandas
    """
    words = keywords or []
    if not words and workspace is None:
        raise typer.BadParameter("name keywords, or a workspace with --workspace")
    overrides = parse_overrides(settings or [])
    overrides |= {"search.per_class": per_class} if per_class else {}
    overrides |= {"train.backbone": backbone} if backbone else {}
    folder = workspace or folder_for(words)
    open_workspace(folder, words, overrides)  # a mistake in the settings shows before Prefect starts
    run_flow(folder, words, overrides)
    CONSOLE.print(f"Next: [bold]collect-and-train predict -w {folder} PICTURE_OR_FOLDER[/]", highlight=False)


@app.command(rich_help_panel=WHOLE_PATH)
def demo(
    workspace: Folder = Path("data/demo"),
    port: Annotated[int, typer.Option(help="Port of the demo's image site; 0: a free one.", min=0, max=65535)] = 0,
) -> None:
    """Try the whole path on pictures that the project draws and serves itself: no account, no key, no internet."""
    from flows.demo import demo_site

    with demo_site(workspace, port):
        run_flow(workspace, [], {})
    CONSOLE.print(
        "Now your own keywords:\n"
        '  [bold]collect-and-train run "red panda" raccoon --per-class 100 --workspace data/pandas[/]',
        highlight=False,
    )


@app.command(rich_help_panel=WHOLE_PATH)
def init(workspace: Folder = Path("data/my-classifier")) -> None:
    """Write a commented workspace.toml with every setting, to edit and then run."""
    file = write_example(workspace)
    CONSOLE.print(f"Wrote {file}. Edit its \\[classes], then: [bold]collect-and-train run -w {workspace}[/]")


def _step(name: str, doc: str) -> None:
    def command(workspace: Folder, settings: Settings = None) -> None:
        from flows.steps import step_function

        place, config = open_workspace(workspace, (), parse_overrides(settings or []))
        with listening(logging.getLogger(f"collect_and_train.{name}")) as progress:
            counts = step_function(name)(place, config, progress)
        typer.echo(counts.line())

    app.command(name, help=doc, rich_help_panel=STEPS)(command)


for _name, _doc in {
    "search": "Ask the sources for every keyword: what was found goes to the catalogue.",
    "download": "Fetch what was found; every outcome is recorded with its reason.",
    "clean": "Decode, check and compare the pictures: broken ones, useless ones and copies get a verdict.",
    "features": "Compute the backbone's features of every kept picture, once.",
    "curate": "Find off-topic pictures and label errors (a pass-through for now).",
    "split": "Freeze the dataset: training, validation and test, with copies and creators kept together.",
    "train": "Fit the head on cached features, then fine-tune the last stage; the better one is kept.",
    "evaluate": "Measure the saved model on the test pictures.",
    "report": "Write report.html and the model card.",
}.items():
    _step(_name, _doc)


@app.command(rich_help_panel=OTHER)
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Pictures or folders.")],
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Use this workspace's latest model.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Use this model folder instead.")] = None,
) -> None:
    """Say what is in pictures: one line each, with the file, the class and its probability."""
    from training.predict import Classifier, predict_files
    from workspace.errors import ConfigError
    from workspace.paths import Workspace

    if (workspace is None) == (model is None):
        raise ConfigError("name one model: --workspace DIR for its latest, or --model DIR")
    folder = model or Workspace(workspace or Path()).latest_run().model
    failed = 0
    for answer in predict_files(Classifier.load(folder), paths):
        failed += bool(answer.error)
        outcome = f"error\t{answer.error}" if answer.error else f"{answer.label}\t{answer.probability:.3f}"
        typer.echo(f"{answer.path}\t{outcome}")
    if failed:
        raise typer.Exit(1)


@app.command(rich_help_panel=OTHER)
def sources(
    check: Annotated[bool, typer.Option("--check", help="Ask each one question, and say which are up.")] = False,
    workspace: Annotated[
        Path | None, typer.Option("--workspace", "-w", help="Use this workspace's addresses and keys.")
    ] = None,
) -> None:
    """List every source: whether it needs a key, whether it names licences, and its limits."""
    from flows.source_table import source_table

    config = open_workspace(workspace)[1] if workspace else None
    typer.echo(source_table(config, check=check))


@app.command(rich_help_panel=OTHER)
def gallery(
    photos: Annotated[Path | None, typer.Option(help="A folder with a folder of pictures per class.")] = None,
    recorded: Annotated[Path | None, typer.Option(help="A folder of recorded Openverse answers.")] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0: a free one.", min=0, max=65535)] = 0,
) -> None:
    """Serve pictures as a small image-search site on this machine, to try the whole path on them."""
    from flows.demo import serve_gallery

    serve_gallery(photos, recorded, port)


def run_flow(folder: Path, keywords: list[str], overrides: dict[str, Any]) -> None:
    """Run the flow here, under Prefect, and print what came of it."""
    from flows.collect_and_train import collect_and_train
    from flows.summary import summary_table
    from workspace.paths import Workspace

    counts = collect_and_train(workspace=str(folder), keywords=keywords or None, settings=overrides or None)
    latest = Workspace(folder).latest_run()
    CONSOLE.print(summary_table(Workspace(folder), counts))
    CONSOLE.print(f"\nReport: {latest.report_file}\nModel:  {latest.model}", highlight=False)


def main() -> None:
    """Run the command line; a failure that we foresaw is one message and exit code 1."""
    try:
        app()
    except CollectAndTrainError as error:
        CONSOLE.print(f"[bold red]Error:[/] {_plain(str(error))}", highlight=False)
        raise SystemExit(1) from None


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


if __name__ == "__main__":
    main()
