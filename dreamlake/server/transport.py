"""Transports of httpx to an `InProcessApp`: the callers of its exchanges, for threads and for loops."""

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from dreamlake.server.inprocess import WANT, Chunk, Event, Exchange, InProcessApp, Start

__all__ = ["AsyncInProcessTransport", "InProcessTransport"]


class _Caller:
    """One request as its caller sees it, in what waiting and awaiting have in common."""

    _over = True  # Until there is an exchange, there is nothing to leave.

    def __init__(self, server: InProcessApp, request: httpx.Request, inbox: Callable[[Event], object]) -> None:
        self._thread = server.thread
        self._thread.check()
        self._exchange = Exchange(server, request, inbox)
        self._read_timeout: float | None = request.extensions.get("timeout", {}).get("read")
        self._over = False  # First, for an interrupt may come between the post and whatever follows it.
        if not self._thread.post(self._exchange.begin):
            raise httpx.ConnectError("the in-process server is closed")

    def __del__(self) -> None:
        self._leave()  # A response dropped unread must not hold the application for ever.

    def _leave(self) -> None:
        if not self._over:
            self._over = True
            self._thread.post(self._exchange.leave)

    def _feed(self, piece: bytes | None) -> None:
        self._thread.post(self._exchange.feed, piece or b"", piece is not None)

    def _take(self, chunk: Start | Chunk) -> bytes:
        assert isinstance(chunk, Chunk)
        if chunk.last:
            self._over = True
        else:
            self._thread.post(self._exchange.took)
        return chunk.data

    def _timed_out(self) -> httpx.ReadTimeout:
        return httpx.ReadTimeout(f"the application sent nothing for {self._read_timeout} s")


class _SyncCaller(_Caller, httpx.SyncByteStream):
    def __init__(self, server: InProcessApp, request: httpx.Request) -> None:
        if server.thread.here:
            raise RuntimeError("an application that waits for an answer of its own would wait for ever")
        assert isinstance(request.stream, httpx.SyncByteStream)
        self._pieces = iter(request.stream)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        super().__init__(server, request, self._events.put)

    def response(self) -> httpx.Response:
        start = self._next()
        assert isinstance(start, Start)
        return httpx.Response(start.status, headers=start.headers, stream=self)

    def __iter__(self) -> Iterator[bytes]:
        try:
            while not self._over:
                if data := self._take(self._next()):
                    yield data
        finally:
            self._leave()

    def close(self) -> None:
        self._leave()

    def _next(self) -> Start | Chunk:
        try:
            self._thread.check()
            while (event := self._event()) is WANT:
                self._feed(next(self._pieces, None))
            if isinstance(event, Exception):
                raise event
            return event
        except BaseException:
            self._leave()
            raise

    def _event(self) -> Event:
        try:
            return self._events.get(timeout=self._read_timeout)
        except queue.Empty:
            raise self._timed_out() from None


class _AsyncCaller(_Caller, httpx.AsyncByteStream):
    def __init__(self, server: InProcessApp, request: httpx.Request) -> None:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self._pieces = aiter(request.stream)
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()
        self._events = events
        super().__init__(server, request, lambda event: loop.call_soon_threadsafe(events.put_nowait, event))

    async def response(self) -> httpx.Response:
        start = await self._next()
        assert isinstance(start, Start)
        return httpx.Response(start.status, headers=start.headers, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while not self._over:
                if data := self._take(await self._next()):
                    yield data
        finally:
            self._leave()

    async def aclose(self) -> None:
        self._leave()

    async def _next(self) -> Start | Chunk:
        try:
            self._thread.check()
            while (event := await self._event()) is WANT:
                self._feed(await anext(self._pieces, None))
            if isinstance(event, Exception):
                raise event
            return event
        except BaseException:
            self._leave()
            raise

    async def _event(self) -> Event:
        try:
            async with asyncio.timeout(self._read_timeout):
                return await self._events.get()
        except TimeoutError:
            raise self._timed_out() from None


class InProcessTransport(httpx.BaseTransport):
    """Requests to an `InProcessApp` from any number of threads; closing it leaves the app running."""

    def __init__(self, app: InProcessApp) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return _SyncCaller(self._app, request).response()


class AsyncInProcessTransport(httpx.AsyncBaseTransport):
    """Requests to an `InProcessApp` from any number of asyncio loops; closing it leaves the app running."""

    def __init__(self, app: InProcessApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await _AsyncCaller(self._app, request).response()
