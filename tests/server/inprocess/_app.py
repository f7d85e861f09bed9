"""A raw ASGI application for the tests, and clients of it."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio.to_thread
import httpx
import pytest

from dreamlake.server.inprocess import InProcessApp
from dreamlake.server.transport import AsyncInProcessTransport, InProcessTransport

MIB = 1 << 20
WAIT = 20.0  # Bounds what must happen soon; nothing waits this long unless it is broken.


class Lake:
    """A raw ASGI application whose routes are methods; `seen` is what happened, `marks` let tests wait."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.marks: dict[str, threading.Event] = {}
        self.go = asyncio.Event()
        self.produced = 0
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
        else:
            await getattr(self, scope["path"].strip("/"))(scope, receive, send)

    def mark(self, name: str) -> threading.Event:
        with self._lock:
            return self.marks.setdefault(name, threading.Event())

    def reached(self, name: str) -> bool:
        return self.mark(name).wait(WAIT)

    async def lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["answer"] = 42
        self.seen.append(("startup", threading.current_thread().name))
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.seen.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    async def hello(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"hello")

    async def scope(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        await answer(send, b"")

    async def settle(self, scope: Any, receive: Any, send: Any) -> None:
        """Whatever else can run without outside help has run when this answers."""
        for _ in range(50):
            await asyncio.sleep(0)
        await answer(send, b"")

    async def release(self, scope: Any, receive: Any, send: Any) -> None:
        self.go.set()
        await answer(send, b"")

    async def count(self, scope: Any, receive: Any, send: Any) -> None:
        """Read the body and tell its length."""
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        await answer(send, str(size).encode())

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        """Send each piece back before the next one is received."""
        await start(send)
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    async def chunks(self, scope: Any, receive: Any, send: Any) -> None:
        """As many chunks as the query says, of a mebibyte each."""
        await start(send)
        for index in range(int(scope["query_string"])):
            self.produced += 1
            await send({"type": "http.response.body", "body": bytes([index % 256]) * MIB, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.mark("sent").set()

    async def released(self, scope: Any, receive: Any, send: Any) -> None:
        await self.forever(scope, receive, send, self.go)

    async def forever(self, scope: Any, receive: Any, send: Any, go: asyncio.Event | None = None) -> None:
        """An endless response that does not listen."""
        try:
            await start(send)
            if go is not None:
                await go.wait()
            while True:
                self.produced += 1
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        finally:
            self.mark("over").set()

    async def listen(self, scope: Any, receive: Any, send: Any) -> None:
        """Sends one chunk, then listens until it is disconnected, then does not want to end."""
        try:
            if scope["query_string"] != b"silent":
                await start(send)
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
            while (message := await receive())["type"] != "http.disconnect":
                self.seen.append(message["body"])
                self.mark("received").set()
            self.seen.append("disconnect")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        finally:
            self.mark("over").set()

    async def polite(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers although its caller has left, and goes on after that."""
        await receive()
        self.mark("received").set()
        assert (await receive())["type"] == "http.disconnect"
        await answer(send, b"late")
        assert (await receive())["type"] == "http.disconnect"
        await self.go.wait()
        self.mark("done").set()

    async def background(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers while it listens, and goes on after that."""
        await receive()
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await answer(send, b"answered")
        assert (await listening)["type"] == "http.disconnect"
        await self.go.wait()
        self.mark("done").set()

    async def three(self, scope: Any, receive: Any, send: Any) -> None:
        """Receives three pieces, waits, and answers without the rest."""
        for _ in range(3):
            assert (await receive())["more_body"]
        self.mark("three").set()
        await self.go.wait()
        await answer(send, b"enough")

    async def none(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"unread")

    async def impatient(self, scope: Any, receive: Any, send: Any) -> None:
        """Gives up on receiving, again and again, before it counts the body."""
        for _ in range(3):
            receiving = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            receiving.cancel()
            await asyncio.wait({receiving})
            if not receiving.cancelled():
                self.seen.append(receiving.result()["body"])
        self.mark("given up").set()
        await self.go.wait()
        await self.count(scope, receive, send)

    async def status(self, scope: Any, receive: Any, send: Any) -> None:
        code = int(scope["query_string"])
        await send({"type": "http.response.start", "status": code, "headers": [(b"X-Kept", b"yes")]})
        await send({"type": "http.response.body", "body": b"not for", "more_body": True})
        await send({"type": "http.response.body", "body": b"this one"})

    async def fail(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["query_string"] == b"late":
            await start(send)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        if scope["query_string"] == b"exit":
            raise SystemExit(3)
        raise ValueError("broken on purpose")

    async def returns(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["query_string"] == b"late":
            await start(send)

    async def short(self, scope: Any, receive: Any, send: Any) -> None:
        await start(send, (b"Content-Length", b"10"))
        await send({"type": "http.response.body", "body": b"x"})

    async def unruly(self, scope: Any, receive: Any, send: Any) -> None:
        for message in ({"type": "http.response.body"}, {"type": "websocket.accept"}):
            with pytest.raises(RuntimeError, match="out of turn"):
                await send(message)
        await answer(send, b"fine")
        with pytest.raises(RuntimeError, match="out of turn"):
            await send({"type": "http.response.body"})
        self.mark("done").set()

    async def context(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, VARIABLE.get().encode())

    async def worker(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(await anyio.to_thread.run_sync(threading.current_thread))
        await answer(send, b"")


VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


async def start(send: Any, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def answer(send: Any, body: bytes) -> None:
    await start(send, (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.body", "body": body})


def sync_client(server: InProcessApp) -> httpx.Client:
    return httpx.Client(transport=InProcessTransport(server), base_url="http://lake", timeout=WAIT)


def async_client(server: InProcessApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AsyncInProcessTransport(server), base_url="http://lake", timeout=WAIT)


class Pieces:
    """A request body that counts what was pulled from it, for either kind of client."""

    def __init__(self, count: int, size: int = 10, error: Exception | None = None) -> None:
        self.count, self.size, self.error = count, size, error
        self.pulled = 0

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.count):
            self.pulled += 1
            yield bytes(self.size)
        if self.error:
            raise self.error

    async def _aiter(self) -> AsyncIterator[bytes]:
        for piece in self:
            await asyncio.sleep(0)
            yield piece

    def to_async(self) -> AsyncIterator[bytes]:
        return self._aiter()


async def elsewhere(wait: Callable[[str], bool], mark: str) -> bool:
    """Wait for the application's mark without blocking the test's own loop."""
    return await asyncio.to_thread(wait, mark)
