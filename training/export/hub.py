"""Export a model as a repository for Hugging Face's hub: the folder of timm, a card that the hub reads, and credits."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from training.export.job import ExportJob
from training.export.timm_folder import OWN, TimmFolder, write_timm
from training.report.credits import Credit, as_csv
from workspace.config.collect import LICENSES
from workspace.errors import ModelError
from workspace.files.atomic import write_atomic
from workspace.files.base import Entry
from workspace.files.whole_folder import whole_folder
from workspace.storage.image_store import ImageStore
from workspace.text.markdown import escaped

FOLDER = "hub"
CREDITS = "ATTRIBUTION.csv"

_OWN = rf"{OWN}|README\.md|{re.escape(CREDITS)}|examples/\d+\.\w+"
_EXAMPLE_SUFFIXES = frozenset({".jpg", ".png", ".webp"})
_EXAMPLE_BYTES = 2_000_000
_WITH_OUR_PROGRAM = re.compile(r"To try it:\n\n    collect-and-train predict .*?\n\n.*?\n", re.DOTALL)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


def export_hub(job: ExportJob, target: Path) -> str:
    """Write hub/: config.json, model.safetensors, README.md, ATTRIBUTION.csv, examples/; say so in a line.

    Args:
        job: the model with its run.
        target: the folder that gets hub/.

    Raises:
        ModelError: the run has no report yet, or as export_timm.
        WorkspaceError: the folder cannot be written.
    """
    if not job.run.readme_file.is_file():
        raise ModelError(f"{job.run.readme_file} does not exist; write it first: {job.workspace.command('report')}")
    folder = target / FOLDER
    with whole_folder(folder, _OWN) as fresh:
        made = write_timm(job, fresh, folder)
        examples = _examples(job)
        for name, (_, data) in examples.items():
            write_atomic(fresh / name, data)
        ordered = sorted(job.samples, key=lambda sample: (sample.label, sample.sha256))
        write_atomic(fresh / CREDITS, as_csv([Credit.of(sample) for sample in ordered]).encode())
        card = job.run.readme_file.read_text(encoding="utf-8")
        shown = {name: credit for name, (credit, _) in examples.items()}
        write_atomic(fresh / "README.md", hub_card(card, made, shown).encode())
    upload = f"hf upload YOUR_NAME/{job.workspace.root.resolve().name} {shlex.quote(str(made.folder))}"
    return f"{made.folder}: {made.summary()}. To upload it: {upload}"


def _examples(job: ExportJob) -> dict[str, tuple[Credit, bytes]]:
    """For each class the smallest test image whose licence lets it be passed on with its credit, by its name here."""
    found: dict[str, tuple[Credit, bytes]] = {}
    store = ImageStore(job.workspace)
    stored = dict(store.entries())
    for number, label in enumerate(job.model.classes):
        small = [
            (stored[sample.sha256].bytes, sample.sha256, sample)
            for sample in job.samples
            if sample.split == "test" and sample.label == label and sample.license.lower() in LICENSES
            if sample.sha256 in stored and _may_be_shown(stored[sample.sha256])
        ]
        if small:
            _, sha, sample = min(small, key=lambda item: item[:2])
            found[f"examples/{number}{_suffix(stored[sha])}"] = (Credit.of(sample), store.get(sha))
    return found


def _may_be_shown(file: Entry) -> bool:
    return _suffix(file) in _EXAMPLE_SUFFIXES and file.bytes <= _EXAMPLE_BYTES


def _suffix(file: Entry) -> str:
    return PurePosixPath(file.name).suffix


def hub_card(card: str, made: TimmFolder, examples: Mapping[str, Credit]) -> str:
    """Turn the model card of a run into that of the repository.

    Args:
        card: the run's, with YAML front matter.
        made: the exported folder.
        examples: credits of the example images, by their names in the repository.

    Raises:
        ModelError: the card has no front matter.
    """
    match = _FRONT_MATTER.match(card)
    if match is None:
        raise ModelError("the model card has no metadata at its start; write it anew: collect-and-train report")
    metadata = _metadata(yaml.safe_load(match[1]), made, examples)
    title, _, body = card[match.end() :].lstrip().partition("\n")
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=1000)
    return (
        "\n".join(
            [f"---\n{front}---", "", title, *_usage(made), _WITH_OUR_PROGRAM.sub("", body).strip(), *_credits(examples)]
        )
        + "\n"
    )


def _metadata(metadata: dict[str, Any], made: TimmFolder, examples: Mapping[str, Credit]) -> dict[str, Any]:
    """The card's metadata with the library that opens this folder, and the scores of what it holds."""
    tags = dict.fromkeys([*metadata.get("tags", ()), "timm", "transformers", "collect-and-train"])
    found = metadata | {"library_name": "timm", "tags": list(tags)}
    if examples:
        found["widget"] = [{"src": name, "example_title": credit.sample.label} for name, credit in examples.items()]
    if cost := made.single.comparison:
        for result in (result for model in found.get("model-index", ()) for result in model["results"]):
            result["metrics"] = [{"type": "accuracy", "name": "accuracy", "value": round(cost.accuracy, 4)}]
    return found


def _usage(made: TimmFolder) -> Iterator[str]:
    yield from ("", "## This repository", "", f"{made.summary()[0].upper()}{made.summary()[1:]}.", "")
    if not made.is_whole:
        yield from ('The figures under "Evaluation" are those of the whole model, not of this network.', "")
    yield from (
        "```python",
        "import timm",
        "",
        'model = timm.create_model("hf-hub:OWNER/NAME", pretrained=True).eval()  # or "local-dir:FOLDER"',
        "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))",
        "logits = model(transform(image).unsqueeze(0))  # image: PIL, RGB",
        'names = model.pretrained_cfg["label_names"]',
        "```",
        "",
        '`transformers.pipeline("image-classification", "OWNER/NAME")` opens it too. Logits divided by `temperature` '
        'of config.json give calibrated probabilities. What this network cannot say is "none of these".',
        "",
    )


def _credits(examples: Mapping[str, Credit]) -> Sequence[str]:
    head = [
        "",
        "## Credits",
        "",
        f"Every picture that it was trained and tested on, with creator and licence: {CREDITS}.",
    ]
    if examples:
        head += ["", "The pictures in examples/ keep their own licences:", ""]
        head += [f"- {name}: {escaped(credit.text)}" for name, credit in examples.items()]
    return head
