"""The saved model at work: pictures in, probabilities out, decoded and cropped exactly as in training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import nn

from preprocessing.decode import shrink
from preprocessing.pixels import decode_small
from training.augment import clean_view
from training.backbone import Backbone, Network, build_network, normalised, spec_of
from training.device import Device, choose_device
from workspace.clean_config import CleanConfig
from workspace.errors import ConfigError, ImageRefused, ModelError

CARD_FORMAT = 1
"""The version of card.json and model.safetensors that this program writes and reads."""

WEIGHTS_NAME, CARD_NAME = "model.safetensors", "card.json"

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})
"""What is looked at when a folder is named; a file that is named itself is opened whatever its suffix."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the classifier says of one file.

    `probabilities` by class add up to 1; when the file could not be read `error` says why, `label` is empty,
    `probability` 0 and `probabilities` empty.
    """

    path: Path
    label: str
    probability: float
    probabilities: Mapping[str, float]
    error: str = ""


class Classifier:
    """A trained network with its card; made by `load`."""

    def __init__(self, network: Network, card: Mapping[str, Any], device: Device) -> None:
        self.card: dict[str, Any] = dict(card)
        self.classes: tuple[str, ...] = tuple(card["classes"])
        self._device = device
        self._network = device.put(network).eval()
        self._side, self._resize, self._crop = (
            int(value) for value in (card["cache_side_px"], card["input"]["resize_px"], card["input"]["crop_px"])
        )
        self._mean, self._std = tuple(card["input"]["mean"]), tuple(card["input"]["std"])

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Classifier:
        """Read a model folder (model.safetensors and card.json); nothing in it is executed.

        Raises:
            ModelError: it is missing, damaged, or of another format.
            ConfigError: the device is not there.
        """
        chosen = choose_device(device)
        try:
            card = json.loads((folder / CARD_NAME).read_text(encoding="utf-8"))
            if card["format"] != CARD_FORMAT:
                raise ModelError(
                    f"{folder / CARD_NAME} has format {card['format']!r}, this program reads {CARD_FORMAT}; train again"
                )
            spec = spec_of(card["backbone"])
            network = Network(Backbone(spec, build_network(spec)), nn.Linear(spec.feature_dim, len(card["classes"])))
            network.load_state_dict(load_safetensors((folder / WEIGHTS_NAME).read_bytes()))
            return cls(network, card, chosen)
        except FileNotFoundError as error:
            raise ModelError(
                f"{folder} has no {Path(error.filename).name}; train first: collect-and-train train"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, ConfigError) as error:
            raise ModelError(f"the model in {folder} cannot be used ({error}); train again") from error

    def probabilities(self, pictures: Sequence[npt.NDArray[np.uint8]], batch_size: int = 32) -> npt.NDArray[np.float32]:
        """Classify upright RGB pictures, uint8 [h, w, 3] of any sizes.

        Returns:
            float32 [n, classes]; rows add up to 1, columns in the order of `classes`.
        """
        rows = [np.zeros((0, len(self.classes)), np.float32)]
        for start in range(0, len(pictures), batch_size):
            views = np.stack(
                [
                    clean_view(shrink(p, self._side), self._resize, self._crop)
                    for p in pictures[start : start + batch_size]
                ]
            )
            with torch.inference_mode(), self._device.autocast():
                logits = self._network(normalised(self._device.tensor(views), self._mean, self._std))
            rows.append(logits.float().softmax(1).cpu().numpy())
        return np.concatenate(rows)


def picture_files(paths: Iterable[Path]) -> list[Path]:
    """Files as they are named, and for a folder every picture in it, at any depth, sorted; each once."""
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file is path or (file.suffix.lower() in PICTURE_SUFFIXES and file.is_file()):
                found.setdefault(file)
    return list(found)


def predict_files(classifier: Classifier, paths: Iterable[Path], batch_size: int = 32) -> Iterator[Prediction]:
    """Classify files and folders, in the order of `picture_files`; a file that cannot be read stops no other."""
    files = picture_files(paths)
    clean = CleanConfig(cache_side_px=int(classifier.card["cache_side_px"]))
    for start in range(0, len(files), batch_size):
        batch = files[start : start + batch_size]
        read = [_read(path, clean) for path in batch]
        rows = iter(classifier.probabilities([pixels for pixels in read if not isinstance(pixels, str)]))
        for path, pixels in zip(batch, read, strict=True):
            if isinstance(pixels, str):
                yield Prediction(path, "", 0.0, {}, pixels)
            else:
                row = next(rows)
                best = int(row.argmax())
                by_class = {name: float(value) for name, value in zip(classifier.classes, row, strict=True)}
                yield Prediction(path, classifier.classes[best], float(row[best]), by_class)


def _read(path: Path, clean: CleanConfig) -> npt.NDArray[np.uint8] | str:
    try:
        return decode_small(path.read_bytes(), clean)[1]
    except ImageRefused as error:
        return str(error)
    except OSError as error:
        return f"unreadable: {error.strerror or error}"
