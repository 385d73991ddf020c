"""Predictions for many images, one after the other: they are read and decoded while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from preprocessing.images.decode import Decoded
from preprocessing.images.isolated_decode import decode_isolated, read_file
from training.inference.classifier import Classification, Classifier, decoding_limits
from workspace.config.clean import CleanConfig
from workspace.errors import ImageRefused, TransferFailed
from workspace.image_files import list_images

_READERS, _AHEAD = 4, 2  # threads that read files, and batches that they prepare ahead of the network


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An image to classify: `name` identifies it in the results, `read` returns its bytes when its turn comes.

    In the place of bytes it may return an image that is decoded already.

    OSError, ValueError and TransferFailed of `read` become the error of this image.
    """

    name: str
    read: Callable[[], bytes | Decoded]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The classifier's answer to one file, or the reason why it could not be read: then `answer` is None.

    `note` says what was assumed to read it, such as the range of floating-point values.
    """

    name: str
    answer: Classification | None
    error: str = ""
    note: str = ""


def image_files(paths: Iterable[Path]) -> list[Path]:
    """List files as they are named, and for a folder every image file in it, at any depth, sorted; each once.

    Raises:
        OSError: a folder cannot be read.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = [file.path for file in list_images(path).files] if path.is_dir() else [path]
        found |= dict.fromkeys(inside)
    return list(found)


def predict_files(
    classifier: Classifier,
    paths: Iterable[Path],
    batch_size: int = 32,
    accept: float | None = None,
    clean: CleanConfig | None = None,
) -> Iterator[Prediction]:
    """Classify files and folders in the order of `image_files`; otherwise as `predict`."""
    limits = decoding_limits(classifier, clean)
    images = (ImageInput(str(path), partial(read_file, path, limits)) for path in image_files(paths))
    yield from predict(classifier, images, batch_size, accept, clean)


def predict(
    classifier: Classifier,
    images: Iterable[ImageInput],
    batch_size: int = 32,
    accept: float | None = None,
    clean: CleanConfig | None = None,
) -> Iterator[Prediction]:
    """Classify images in their order; one that cannot be read, or exceeds a limit of decoding, stops no other.

    The next batches are read, and decoded in worker processes, while the network computes.

    Args:
        classifier: the loaded model.
        images: read lazily.
        batch_size: images per forward pass.
        accept: as in Classifier.answers.
        clean: limits of decoding, and the number of processes that decode; None: the defaults.

    Raises:
        ModelError: the model has no limits for this share.
        WorkspaceError: worker processes cannot be started.
    """
    clean = decoding_limits(classifier, clean)
    waiting: deque[list[tuple[str, Future[Decoded | str]]]] = deque()
    with ThreadPoolExecutor(max_workers=_READERS) as pool:
        for batch in _batched(images, batch_size):
            waiting.append([(image.name, pool.submit(_read, image, clean)) for image in batch])
            if len(waiting) > _AHEAD:
                yield from _answer(classifier, waiting.popleft(), accept)
        while waiting:
            yield from _answer(classifier, waiting.popleft(), accept)


def _batched(images: Iterable[ImageInput], size: int) -> Iterator[list[ImageInput]]:
    stream = iter(images)
    while batch := list(islice(stream, size)):
        yield batch


def _answer(
    classifier: Classifier, batch: Sequence[tuple[str, Future[Decoded | str]]], accept: float | None
) -> Iterator[Prediction]:
    read = [ready.result() for _, ready in batch]
    answers = iter(classifier.answers([image.pixels for image in read if not isinstance(image, str)], accept))
    for (name, _), image in zip(batch, read, strict=True):
        if isinstance(image, str):
            yield Prediction(name, None, image)
        else:
            yield Prediction(name, next(answers), note=image.note)


def _read(image: ImageInput, clean: CleanConfig) -> Decoded | str:
    try:
        data = image.read()
        return data if isinstance(data, Decoded) else decode_isolated(data, clean)
    except (ImageRefused, TransferFailed) as error:
        return str(error)
    except OSError as error:
        return f"unreadable: {error.strerror or error}"
    except ValueError as error:  # a name that no file, or no host, can have; what a notebook gave as an image
        return f"unreadable: {error}"
