"""card.json and README.md of an exported folder: what it takes and gives, and its figures beside the model's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from training.stats.ood import OodLimits
from workspace.storage.artefact import Artefact, Part
from workspace.storage.metrics import Share
from workspace.text.markdown import escaped


class DeviceScores(Part):
    """What a model answers to the frozen test images."""

    accuracy: Share
    log_loss: float = Field(description="Mean, in nats.")
    ece: float = Field(description="Expected calibration error, in [0, 1].")
    answered: float | None = Field(description="Share that gets a class; null where the model never answers none.")
    answered_accuracy: float | None = Field(description="Of those; null where none is answered.")
    false_acceptance: float | None = Field(description="Share of the negatives that gets a class; null without any.")
    ms_per_image: float = Field(description="Median of one image at a time, in milliseconds, resizing included.")


class Measured(Part):
    """An exported file and the model it was made of, on the same test images."""

    n: int = Field(description="Test images.")
    own: DeviceScores = Field(description="The model itself, in PyTorch, in 32 bits.")
    exported: DeviceScores = Field(description="The file, by its own runtime.")
    agreement: float = Field(description="Share of the images to which both give the same class.")
    limit: float = Field(description="The fall that was allowed.")
    fell: tuple[str, ...] = Field(description="What fell by more, in words; written all the same with --force.")
    machine: str = Field(description="Processor, and number of threads.")


class DeviceCard(Artefact):
    """card.json of a folder that was exported for devices; written last."""

    COMMAND: ClassVar[str] = "collect-and-train export"
    REPAIR: ClassVar[str] = "export again: collect-and-train export"

    format: Literal[1] = Field(description="Layout of this file.")
    kind: str = Field(description="As `export --to` names it.")
    file: str = Field(description="The file to open.")
    run_id: str
    classes: tuple[str, ...] = Field(description="In the order of logits and probabilities.")
    takes: str = Field(description="The input, in words.")
    gives: Mapping[str, str] = Field(description="The outputs, in words, by name.")
    temperature: float = Field(description="What logits are divided by; the file does it.")
    limits: tuple[OodLimits, ...] = Field(description='For "none", the default first; empty: it never answers none.')
    size_mb: float = Field(description="Of all files, in megabytes (10^6 bytes).")
    measured: Measured | None = Field(description="Null where its runtime does not run on the machine that made it.")
    not_measured: str = Field("", description="Why not.")
    versions: Mapping[str, str] = Field(description="Version by library.")


OUTPUTS = {
    "logits": "float32 [n, classes]",
    "probabilities": "float32 [n, classes], calibrated",
    "distance": "float32 [n], cosine distance to the training pictures",
}


def readme(card: DeviceCard, title: str, name: str) -> str:
    """Write the card for people.

    Args:
        card: the figures.
        title: of the format.
        name: of the workspace.
    """
    return "\n".join([f"# {escaped(name)}: {title}", "", *_usage(card), *_figures(card)]) + "\n"


def _usage(card: DeviceCard) -> Iterator[str]:
    yield f"{card.file}, {card.size_mb:.1f} MB, of run {card.run_id}; classes: {escaped(', '.join(card.classes))}."
    yield from ("", f"Input: {card.takes}.", "", "| output | is |", "|---|---|")
    yield from (f"| `{name}` | {words} |" for name, words in card.gives.items())
    yield ""
    if card.limits:
        first = card.limits[0]
        distance = "" if first.max_distance is None else f" or `distance` is above {first.max_distance:.4f}"
        yield f'The answer is "none" where the largest probability is below {first.min_probability:.4f}{distance}.'
        yield "Other limits, and every number, are in card.json."
    else:
        yield 'It was not calibrated, and never answers "none".'
    yield ""


def _figures(card: DeviceCard) -> Iterator[str]:
    yield from ("## Measured again", "")
    if card.measured is None:
        yield f"**Not measured: {card.not_measured}.** The model's own figures say nothing sure about this file."
        return
    found = card.measured
    yield f"On {found.n} test pictures that the model has not learnt from; the same class as the model's on "
    yield f"{100 * found.agreement:.1f} % of them. {escaped(found.machine)}."
    yield from ("", "| | the model | this file |", "|---|---:|---:|")
    for words, own, exported in rows(found):
        yield f"| {words} | {own} | {exported} |"
    if found.fell:
        yield from (
            "",
            f"**Written by --force, although it fell by more than {found.limit:.3f}**: {'; '.join(found.fell)}.",
        )


def rows(found: Measured) -> Iterator[tuple[str, str, str]]:
    """Yield what was measured in words, of the model and of the file."""
    own, exported = found.own, found.exported
    yield "accuracy", _share(own.accuracy), _share(exported.accuracy)
    yield "log-loss", f"{own.log_loss:.3f}", f"{exported.log_loss:.3f}"
    yield "expected calibration error", f"{own.ece:.3f}", f"{exported.ece:.3f}"
    yield "share that gets a class", _number(own.answered), _number(exported.answered)
    yield "accuracy of those", _number(own.answered_accuracy), _number(exported.answered_accuracy)
    if own.false_acceptance is not None:
        yield "share of negatives that gets one", _number(own.false_acceptance), _number(exported.false_acceptance)
    yield "ms per picture", f"{own.ms_per_image:.1f}", f"{exported.ms_per_image:.1f}"


def _share(share: Share) -> str:
    return f"{share.value:.3f} ({share.interval[0]:.3f} to {share.interval[1]:.3f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
