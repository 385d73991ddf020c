"""Dynamic batching: the images that wait when the network becomes free go through it together; none is held back."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pages.api.live_model import LoadedModel
from training.inference.classifier import Classification

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    model: LoadedModel
    accept: float | None
    pixels: Pixels
    answer: asyncio.Future[Classification]


class Batcher:
    """Answers images of concurrent requests, several in one forward pass; lives in one event loop.

    Args:
        most: images in one forward pass.
        observe: is told the size of each.
    """

    def __init__(self, most: int, observe: Callable[[float], None]) -> None:
        self._most, self._observe = most, observe
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")

    @property
    def waiting(self) -> int:
        """The number of images that wait."""
        return self._queue.qsize()

    async def answer(self, model: LoadedModel, pixels: Pixels, accept: float | None) -> Classification:
        """Answer an image, uint8 [h, w, 3], with this model; `accept` as in Classifier.answers.

        Raises:
            ModelError: the model has no limits for this share.
        """
        waiting = _Waiting(model, accept, pixels, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        return await waiting.answer

    async def run(self) -> None:
        """Work until it is cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._most and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            groups: dict[tuple[LoadedModel, float | None], list[_Waiting]] = defaultdict(list)
            for one in batch:
                if not one.answer.done():  # its request was given up
                    groups[one.model, one.accept].append(one)
            for (model, accept), group in groups.items():
                await self._answer(model, accept, group)

    async def _answer(self, model: LoadedModel, accept: float | None, group: list[_Waiting]) -> None:
        self._observe(len(group))
        images = [one.pixels for one in group]
        try:
            loop = asyncio.get_running_loop()
            answers = await loop.run_in_executor(self._thread, model.classifier.answers, images, accept)
        except Exception as error:  # it belongs to these requests, and ends no other
            for one in group:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        for one, answer in zip(group, answers, strict=True):
            if not one.answer.done():
                one.answer.set_result(answer)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
