"""The service behind the API: decode, fetch, answer and note, each under its limits."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from pages.api.batching import Batcher
from pages.api.bodies import Budget, Sent
from pages.api.fetching import Fetcher
from pages.api.gate import Load
from pages.api.live_model import LiveModel, LoadedModel
from pages.api.metrics import ServiceMetrics
from pages.api.noting import AnswerLog, PictureKeeper
from preprocessing.images.isolated_decode import decode_isolated
from training.inference.classifier import Classification, decoding_limits
from workspace.config.operate import ServiceConfig
from workspace.errors import ImageRefused, TransferFailed, WorkspaceError
from workspace.storage.paths import Workspace

_LOG = logging.getLogger("collect_and_train")

_CHECK_S = 2.0  # how often the model is looked at, and the counts are written
_PER_REQUEST = 8  # pictures of one request at work at once, so that a large one keeps no small one waiting

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a picture: its answer, or the reason why it has none.

    Attributes:
        name: as it was sent.
        answer: None where it could not be read.
        reason: one word for programs; empty where there is an answer.
        detail: a sentence; of an answer what was assumed to read it.
    """

    name: str
    answer: Classification | None
    reason: str = ""
    detail: str = ""


class Service:
    """Answers pictures; its `running` must be entered in the event loop that asks it.

    Args:
        live: the model.
        config: limits of requests, of decoding and of the network.
        workspace: where counts, and pictures where `serve.keep` is on, are kept; None: nowhere.
    """

    def __init__(self, live: LiveModel, config: ServiceConfig, workspace: Workspace | None) -> None:
        self.live, self.limits = live, config.serve
        self.load = Load(config.serve.concurrency)
        self.budget = Budget(config.serve)
        self.metrics = ServiceMetrics(lambda: self._batcher.waiting, lambda: self.load.at_work)
        self.log = AnswerLog(workspace.answers_file if workspace else None, config.serve)
        self._keeper = PictureKeeper(workspace, config.serve) if workspace and config.serve.keep else None
        self._batcher = Batcher(config.serve.batch, self.metrics.batch.observe)
        self._fetcher = Fetcher(config.network, config.serve)
        # A third of the request's time: one picture that hangs must not cost the others their answer.
        seconds = min(config.clean.decoder_timeout_s, config.serve.timeout_s / 3)
        workers = config.clean.workers or os.cpu_count() or 1
        self._clean = config.clean.model_copy(update={"decoder_timeout_s": seconds, "workers": workers})
        self._decoders = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._reading = asyncio.Semaphore(2 * workers)  # uploads whose bytes are in memory to be decoded

    def warm_up(self) -> None:
        """Start the decoders and run the network once, so that the first request waits for neither.

        Raises:
            WorkspaceError: worker processes cannot be started.
        """
        classifier, blank = self.live.current.classifier, io.BytesIO()
        Image.new("RGB", (64, 64)).save(blank, "PNG")
        limits = decoding_limits(classifier, self._clean)
        started = self._decoders.map(lambda _: decode_isolated(blank.getvalue(), limits), range(limits.workers))
        classifier.answers([next(started).pixels])
        list(started)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Batch requests and look after the model while the block runs; at its end the counts are written."""
        tasks = [asyncio.create_task(self._batcher.run()), asyncio.create_task(self._look_after())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._batcher.close()
            self._fetcher.close()
            self._decoders.shutdown(wait=False, cancel_futures=True)
            self._save()

    async def classify(self, sent: Sequence[Sent], accept: float | None) -> tuple[LoadedModel, list[Answered]]:
        """Answer the pictures of a request with the model that is live now, in their order.

        Raises:
            ModelError: the model has no limits for the share `accept`.
            WorkspaceError: worker processes cannot be started.
        """
        model, turn = self.live.current, asyncio.Semaphore(_PER_REQUEST)
        model.classifier.limits_for(accept)  # before anything is fetched or decoded

        async def one(picture: Sent) -> Answered:
            async with turn:
                return await self._answer(model, picture, accept)

        tasks = [asyncio.create_task(one(picture)) for picture in sent]
        try:
            return model, list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, model: LoadedModel, picture: Sent, accept: float | None) -> Answered:
        try:
            data = await self._fetcher.fetch(picture.url) if picture.read is None else b""
            async with self._reading:
                data = await picture.read() if picture.read else data
                if len(data) > self.limits.max_mb * 1e6:
                    raise ImageRefused("too_large", f"larger than {self.limits.max_mb:g} MB (serve.max_mb)")
                limits = decoding_limits(model.classifier, self._clean)
                decoded = await _in(self._decoders, lambda: decode_isolated(data, limits))
            answer = await self._batcher.answer(model, decoded.pixels, accept)
        except (ImageRefused, TransferFailed) as error:
            self.metrics.refusals.labels(error.reason).inc()
            return Answered(picture.name, None, error.reason, error.detail)
        await self._note(model, answer, data, picture.url, is_default=accept is None)
        return Answered(picture.name, answer, detail=decoded.note)

    async def _note(self, model: LoadedModel, answer: Classification, data: bytes, url: str, is_default: bool) -> None:
        if answer.answered:
            self.metrics.answers.labels(answer.best).inc()
        else:
            self.metrics.none.labels(answer.why_none.partition(":")[0]).inc()
        if is_default and model is self.live.current:
            self.log.add(model, answer)
        keeper = self._keeper
        if keeper and keeper.wants(answer):
            try:
                if await _in(self._decoders, lambda: keeper.keep(model, answer, data, url)):
                    self.metrics.kept.inc()
            except WorkspaceError as error:  # a full disk costs no answer
                _LOG.warning("a picture was not kept: %s", error)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_S)
            loaded = await asyncio.to_thread(self.live.refresh)
            if loaded is not None:
                self.metrics.reloads.labels("loaded" if loaded else "failed").inc()
            await asyncio.to_thread(self._save)

    def _save(self) -> None:
        try:
            self.log.save()
        except WorkspaceError as error:
            _LOG.warning("the counts of answers are not written: %s", error)


async def _in(pool: ThreadPoolExecutor, work: Callable[[], Done]) -> Done:
    return await asyncio.get_running_loop().run_in_executor(pool, work)
