"""The classifier for notebooks and programs: fitted on a folder, loaded by a workspace, asked with files or arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt
from PIL import Image

from preprocessing.images.decode import Decoded, decode_opened
from preprocessing.images.isolated_decode import read_file
from training.inference import classifier as inference
from training.inference.classifier import Classification, decoding_limits
from training.inference.predict import ImageInput, Prediction, image_files
from training.inference.predict import predict as predict_images
from workspace.errors import ImageRefused, ModelError
from workspace.names import local_path
from workspace.storage.champion import answering_run
from workspace.storage.metrics import Metrics
from workspace.storage.paths import Workspace
from workspace.storage.run_folder import CARD_NAME, RunFolder
from workspace.text.counts import counted

AnyImage = str | Path | Image.Image | npt.NDArray[Any]
"""A file, an image of Pillow, or an array: uint8 [h, w] grey, [h, w, 3] RGB or [h, w, 4] RGBA.

A large JPEG is read at a reduced size where it is a file, and taken in full where it comes as an image or an array: its
probabilities then differ a little."""

Several = TypeVar("Several", bound=AnyImage)

_CHANNELS = {1: "L", 3: "RGB", 4: "RGBA"}


class Classifier(inference.Classifier):
    """A trained classifier, made by `fit` or `load`.

    Attributes:
        run: the folder of the run it comes from; None where its model folder was copied away from there.

    Example:
        >>> from training import Classifier
        >>> classifier = Classifier.fit("photos/")  # a folder per class
        >>> classifier.metrics.test.accuracy
        Share(value=0.93, interval=(0.88, 0.97))
        >>> Classifier.load("data/photos").predict("x.jpg").label
        'red panda'
    """

    run: RunFolder | None = None

    @classmethod
    def fit(
        cls,
        photos: str | Path,
        workspace: str | Path = "",
        *,
        per_class: int | None = None,
        backbone: str | None = None,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
        quiet: bool = False,
    ) -> Self:
        """Train on a folder of photographs, by every step of `collect-and-train run --photos`; none is done twice.

        Pictures are copied, cleaned and split; the test pictures are never trained on nor chosen by, so that `metrics`
        and `report` are honest. It needs no server of Prefect, and runs where an event loop runs already.

        Args:
            photos: a folder with a folder per class, a zip archive of one, or a table of path and label.
            workspace: the folder to work in, new or of an earlier call; empty: data/ and the name of `photos`.
            per_class: clean pictures wanted of each class; None: all.
            backbone: as `train.backbone` in workspace.toml; None: resnet50.
            settings: other settings by their names in workspace.toml, such as {"train.epochs": 20}.
            device: `auto`, `cpu` or `cuda`.
            quiet: show warnings alone, no progress.

        Returns:
            The newly trained classifier; whether it also went live, `collect-and-train models` tells.

        Raises:
            ConfigError: the photographs cannot be read, or a setting is wrong.
            DatasetError: a class has too few pictures; says what became of them.
            WorkspaceBusy: another process works in the folder.
        """
        from flows.fit import fit_folder  # the only import upwards: pyproject.toml says why

        options = dict(settings or {}) | ({"train.device": device} if device != "auto" else {})
        trained = fit_folder(photos, workspace, per_class=per_class, backbone=backbone, settings=options, quiet=quiet)
        return cls.load(trained.root, device, trained.latest_run().run_id)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", run: str | None = None) -> Self:
        """Load a trained model; nothing in its files is executed.

        Args:
            folder: a workspace (its live model, else its latest one), a run's folder, or a model folder.
            device: `auto`, `cpu` or `cuda`.
            run: the run of the workspace whose model is loaded.

        Raises:
            ModelError: there is no model, it is damaged, or of another format.
            ConfigError: this machine has no such device, or the workspace no such run.
            WorkspaceError: the workspace has no run yet.
        """
        model = _model_folder(local_path(folder), run)
        loaded = super().load(model, device)
        home = RunFolder(model.parent)
        loaded.run = home if home.model == model and home.config_file.is_file() else None
        return loaded

    @property
    def metrics(self) -> Metrics | None:
        """What evaluate measured, the frozen test pictures first: `metrics.test.accuracy.value` and `.interval`.

        None before evaluate, and where the model folder was copied away from its run; `card.metrics` is a summary
        that travels with the model.
        """
        return Metrics.read_if_present(self.run.metrics_file) if self.run else None

    @property
    def report(self) -> Path | None:
        """The run's report.html; None where there is none."""
        return self.run.report_file if self.run and self.run.report_file.is_file() else None

    @overload
    def predict(self, images: AnyImage, *, accept: float | None = None) -> Classification: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, images: Iterable[Several], *, accept: float | None = None) -> list[Prediction]: ...

    def predict(
        self, images: AnyImage | Iterable[AnyImage], *, accept: float | None = None
    ) -> Classification | list[Prediction]:
        """Classify an image, or several.

        Files are decoded in worker processes, as in training. An image of Pillow is turned upright by its EXIF.

        Args:
            images: one image, or a list or another iterable of them; in a list a folder stands for every picture in it.
            accept: target share of pictures of the classes that get a class; None: the model's default.

        Returns:
            Of one image its answer. Of several a Prediction each, in their order: `name`, `answer`, or `error` where
            an image could not be read; that stops no other.

        Raises:
            ImageRefused: the one image cannot be read; says why.
            ModelError: the model has no limits for this share.

        Example:
            >>> classifier.predict("x.jpg").probabilities
            {'raccoon': 0.03, 'red panda': 0.97}
            >>> for prediction in classifier.predict(["x.jpg", "gone.jpg"]):
            ...     print(prediction.answer.label if prediction.answer else prediction.error)
            red panda
            unreadable: No such file or directory
        """
        if not isinstance(images, str | Path | Image.Image | np.ndarray):
            inputs = (item for position, image in enumerate(images, 1) for item in self._inputs(image, f"{position}"))
            return list(predict_images(self, inputs, accept=accept))
        (prediction,) = predict_images(self, [self._input(images, "the image")], accept=accept)
        if prediction.answer is None:
            reason, _, detail = prediction.error.partition(": ")
            raise ImageRefused(reason, f"{detail} ({prediction.name})")
        return prediction.answer

    def _inputs(self, image: AnyImage, number: str) -> list[ImageInput]:
        if isinstance(image, str | Path):
            try:
                found = [self._input(path, "") for path in image_files([local_path(image)])]
            except (OSError, ValueError):
                found = []  # a name that no file can have: reading it says so
            if found:
                return found
        return [self._input(image, f"image {number}")]

    def _input(self, image: AnyImage, name: str) -> ImageInput:
        if isinstance(image, Image.Image):
            return ImageInput(str(getattr(image, "filename", "")) or name, partial(decode_opened, image))
        if isinstance(image, np.ndarray):
            return ImageInput(name, partial(_decoded_array, image))
        return ImageInput(str(image), partial(read_file, local_path(image), decoding_limits(self)))

    def __repr__(self) -> str:
        names = ", ".join(self.classes[:5]) + (", …" if len(self.classes) > 5 else "")
        measured = self.card.metrics
        if measured is None:
            return f"Classifier({names}; not evaluated)"
        low, high = measured.accuracy.interval
        share = f"{measured.accuracy.value:.3f} ({low:.3f} to {high:.3f})"
        return f"Classifier({names}; test accuracy {share} on {counted(measured.n, 'picture')})"


def _model_folder(folder: Path, run: str | None) -> Path:
    if run is None:
        for model in (folder, folder / "model"):
            if (model / CARD_NAME).is_file():
                return model
    workspace = Workspace(folder)
    if not workspace.config_file.is_file():
        raise ModelError(
            f"{folder} is no workspace (it has no {workspace.config_file.name}) and no model folder (no {CARD_NAME}); "
            "name one of them, or train one: Classifier.fit(FOLDER_OF_PHOTOGRAPHS)"
        )
    return answering_run(workspace, run).model


def _decoded_array(array: npt.NDArray[Any]) -> Decoded:
    """Convert an array as a program holds it.

    Raises:
        ValueError: it is no image of 8 bits; says what would be one.
    """
    channels = 1 if array.ndim == 2 else array.shape[-1] if array.ndim == 3 else 0
    if array.dtype != np.uint8 or channels not in _CHANNELS or not array.size:
        raise ValueError(
            f"an array of {array.dtype} {list(array.shape)} is no image; it is uint8, [h, w] or [h, w, 3] in the order "
            "red, green, blue. Values from 0 to 1: (255 * x).round().astype('uint8'); several images: list(x)"
        )
    plain = array[..., 0] if array.ndim == 3 and channels == 1 else array
    return decode_opened(Image.fromarray(np.ascontiguousarray(plain)))
