"""Fetch the address of a picture as collection does: public hosts alone, checked at the socket, within limits.

Strangers choose these addresses, so `network.allow_private_addresses` does not hold here; a host that
`network.private_hosts` names does.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from collectors.http.picture import fetch_picture
from collectors.http.session import PoliteSession
from collectors.sources.registry import open_session
from workspace.config.collect import NetworkConfig
from workspace.config.operate import ServeConfig
from workspace.errors import TransferFailed

_FETCHES, _PER_HOST = 8, 2  # at once
_FETCHES_PER_SESSION = 1000  # it remembers each host, and strangers name the hosts


class Fetcher:
    """Fetches addresses for a service, in threads of its own; asked in one event loop.

    A host whose answers take long holds two threads and no more, so that those of other hosts need not wait for it.

    Args:
        network: the workspace's settings; robots.txt, opt-outs, reservations and pauses are kept as they say.
        limits: bytes and seconds.
    """

    def __init__(self, network: NetworkConfig, limits: ServeConfig) -> None:
        within_s = limits.fetch_timeout_s
        self._network = network.model_copy(
            update={
                "allow_private_addresses": False,
                "attempts": 1,  # whoever asks is waiting, and may ask again
                "connect_timeout_s": min(network.connect_timeout_s, within_s),
                "read_timeout_s": min(network.read_timeout_s, within_s),
                "transfer_timeout_s": min(network.transfer_timeout_s, within_s),
                "longest_crawl_delay_s": min(network.longest_crawl_delay_s, within_s),
                "record": "",
                "replay": "",
            }
        )
        self._max_bytes, self._within_s = int(limits.max_mb * 1e6), within_s
        self._threads = ThreadPoolExecutor(_FETCHES, thread_name_prefix="fetch")
        # Of the hosts that are asked now: strangers name the hosts, so none is remembered.
        self._slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._session: PoliteSession | None = None
        self._started = 0
        self._using: dict[PoliteSession, int] = {}

    async def fetch(self, url: str) -> bytes:
        """Fetch the bytes at an address.

        Raises:
            TransferFailed: it is refused or failed, or takes longer than `serve.fetch_timeout_s`; holds the reason.
        """
        try:
            async with asyncio.timeout(self._within_s):
                return await self._in_turn(url)
        except TimeoutError as error:
            detail = f"it did not arrive within {self._within_s:g} s (serve.fetch_timeout_s)"
            raise TransferFailed("failed", "too_slow", detail) from error

    async def _in_turn(self, url: str) -> bytes:
        """Wait for the address's host here, where it costs no thread, then fetch in a thread."""
        slot = self._slots.setdefault(_host(url), asyncio.Semaphore(_PER_HOST))
        await slot.acquire()
        loop = asyncio.get_running_loop()

        def give_back(_done: Future[bytes]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(slot.release)

        fetching = self._threads.submit(self._fetch, url)
        fetching.add_done_callback(give_back)  # the thread's end, which may come long after the time is up
        return await asyncio.wrap_future(fetching)

    def _fetch(self, url: str) -> bytes:
        with self._present() as session:
            return fetch_picture(session, url, self._max_bytes, crawled=True)[0]

    @contextmanager
    def _present(self) -> Iterator[PoliteSession]:
        """Yield the present session; one that has fetched enough is closed when nobody uses it any more."""
        with self._lock:
            if self._session is None or self._started >= _FETCHES_PER_SESSION:
                self._session, self._started = self._open(), 0
                self._close_unused()
            session = self._session
            self._started += 1
            self._using[session] = self._using.get(session, 0) + 1
        try:
            yield session
        finally:
            with self._lock:
                self._using[session] -= 1
                self._close_unused()

    def _close_unused(self) -> None:
        for session, users in list(self._using.items()):
            if not users and session is not self._session:
                del self._using[session]
                with session:
                    pass  # closes it

    def _open(self) -> PoliteSession:
        return open_session(self._network, connections=_FETCHES, per_host_connections=_PER_HOST)

    def close(self) -> None:
        """End what is being fetched."""
        with self._lock, ExitStack() as closing:
            for session in self._using:
                closing.enter_context(session)
        self._threads.shutdown(wait=False, cancel_futures=True)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # the thread says what is wrong with it
        return ""
