"""An ASGI application in this process, on a loop of its own: no port, no daemon, no second code path.

The application runs on the loop of a `LoopThread`, the lake's. Each request is an `Exchange` there, and in
`transport.py` a caller, which is also the stream of the response:

    caller --- post:  begin, feed, took, leave --------> exchange, on the lake's loop
    caller <-- inbox: WANT, Start, Chunk or an error --- exchange

Nothing moves that was not asked for. The exchange asks for a piece of the request's body when the
application receives; the caller pulls it in its own thread or task, while it waits for the response. And
the application's send waits while the caller has chunks that it has not taken.
"""

import asyncio
import atexit
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from dreamlake.server.loopthread import LoopThread

__all__ = ["WANT", "ASGIApp", "Chunk", "Event", "Exchange", "InProcessApp", "Start"]

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
"""Any ASGI application; frameworks disagree on the types of scope, receive and send."""

Message = dict[str, Any]

logger = logging.getLogger(__name__)

GRACE_SECONDS = 0.5
"""How long an application may go on after `http.disconnect` before its task is cancelled."""

MAX_UNREAD = 2
"""Chunks of a response handed over but not taken: one to read, one to come."""

ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


@dataclass(slots=True)
class Start:
    """The response begins."""

    status: int
    headers: list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Chunk:
    """A piece of the response; `last` ends it."""

    data: bytes
    last: bool


WANT: Final = None  # The application waits for the next piece of the request's body.

Event = Start | Chunk | httpx.TransportError | None


class InProcessApp:
    """An ASGI application running on its own loop thread, from construction to `close`.

    `make_app` is called on that loop, and the lifespan startup has completed when the constructor
    returns. What either raises, the constructor raises. In a forked child the object is of no use.
    """

    def __init__(self, make_app: Callable[[], ASGIApp]) -> None:
        self._make_app = make_app
        self.thread = LoopThread()
        self._exchanges: set[Exchange] = set()
        # Re-entrant: a signal handler may close while the same thread is closing.
        self._closing = threading.RLock()
        self._closed = False
        self.thread.start()
        try:
            self.thread.run(self._startup)
        except BaseException:
            self._closed = True
            self.thread.stop()
            raise
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, timeout: float = 5.0) -> None:
        """Cancel requests in flight and refuse new ones, run the lifespan shutdown, end the thread."""
        if self.thread.forked:
            return  # What there is to close lives on in the parent.
        if self.thread.here:
            raise RuntimeError("an application cannot close the server it runs in")
        with self._closing:
            if self._closed:
                return
            self._closed = True
            atexit.unregister(self.close)
            deadline = time.monotonic() + timeout
            try:
                self.thread.run(self._shutdown, timeout)
            except Exception:
                logger.exception("the in-process server did not shut down cleanly")
            finally:
                if not self.thread.stop(max(1.0, deadline - time.monotonic())):
                    logger.warning("the in-process server's thread is blocked and was left behind")

    async def _startup(self) -> None:
        self._app = self._make_app()
        self._lifespan = _Lifespan(self._app)
        await self._lifespan.startup()

    async def _shutdown(self) -> None:
        if tasks := [exchange.abort() for exchange in list(self._exchanges)]:
            await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        await self._lifespan.shutdown()


class _Lifespan:
    """The lifespan protocol, with the application's side of it in a task of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._requests: asyncio.Queue[str] = asyncio.Queue()
        self._reply: asyncio.Future[Message]
        self._task: asyncio.Task[None]

    async def startup(self) -> None:
        self._task = asyncio.create_task(self._serve())
        await self._ask("startup")

    async def shutdown(self) -> None:
        await self._ask("shutdown")
        await asyncio.wait({self._task}, timeout=GRACE_SECONDS)

    async def _serve(self) -> None:
        await self._app({"type": "lifespan", "asgi": ASGI, "state": self.state}, self._receive, self._send)

    async def _receive(self) -> Message:
        return {"type": f"lifespan.{await self._requests.get()}"}

    async def _send(self, message: Message) -> None:
        if not self._reply.done():
            self._reply.set_result(message)

    async def _ask(self, what: str) -> None:
        self._reply = asyncio.get_running_loop().create_future()
        self._requests.put_nowait(what)
        either: set[asyncio.Future[Any]] = {self._reply, self._task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        failure = None
        if self._reply.done() and self._reply.result()["type"] == f"lifespan.{what}.failed":
            failure = self._reply.result().get("message") or f"the application failed its {what}"
            # Applications report a failure as text and then raise it: the error itself is worth a moment.
            await asyncio.wait({self._task}, timeout=GRACE_SECONDS)
        if self._task.done() and (error := self._task.exception()):
            # Servers may take an application that raises for one without a lifespan, as one that returns
            # is. But a lake that could not start must not answer.
            while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
                error = error.exceptions[0]  # Task groups wrap the one error worth reading.
            raise error
        if failure is not None:
            raise RuntimeError(failure)


class Exchange:
    """One request as the application sees it. All methods run on the lake's loop."""

    def __init__(self, server: InProcessApp, request: httpx.Request, inbox: Callable[[Event], object]) -> None:
        self._server = server
        self._request = request
        self._inbox = inbox
        self._task: asyncio.Task[None] | None = None
        self._reaper: asyncio.TimerHandle | None = None
        # The piece of the request's body to receive next, and whether more may follow it.
        self._piece: bytes | None = None
        self._more = True
        self._asked = False
        if isinstance(request.stream, httpx.ByteStream):  # It is all here: no need to ask.
            self._piece, self._more = b"".join(request.stream), False
        self._readable = asyncio.Event()
        # The response.
        self._started = False
        self._bodiless = request.method == "HEAD"
        self._promised: int | None = None  # What its content-length says is still to come.
        self._unread = 0
        self._writable = asyncio.Event()
        self._complete = False  # The application has sent all of it.
        self._gone = False  # The caller does not listen any more.

    def begin(self) -> None:
        """Have the application serve the request."""
        if self._server._closed:
            self._complete = True
            self._deliver(httpx.ConnectError("the in-process server is closed"))
            return
        self._server._exchanges.add(self)
        self._task = asyncio.create_task(self._serve())
        self._task.add_done_callback(self._ended)

    def feed(self, piece: bytes, more: bool) -> None:
        """The piece of the request's body that was asked for, and whether more may follow."""
        self._piece, self._more, self._asked = piece, more, False
        self._readable.set()

    def took(self) -> None:
        """The caller has taken a chunk of the response."""
        self._unread -= 1
        self._writable.set()

    def leave(self) -> None:
        """The caller is gone: what is complete may run on, anything else has to end soon."""
        if not (self._gone or self._complete):
            self._gone = True
            self._readable.set()
            self._writable.set()
            if self._task is not None:
                self._reaper = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._task.cancel)

    def abort(self) -> asyncio.Task[None]:
        """The server is closing: the caller is told, the application cancelled."""
        assert self._task is not None
        if not self._complete:
            self._deliver(httpx.RemoteProtocolError("the in-process server was closed"))
            self._gone = True
        self._task.cancel()
        return self._task

    def _deliver(self, event: Event) -> None:
        if not self._gone:
            try:
                self._inbox(event)
            except RuntimeError:  # The caller's loop is closed.
                self.leave()

    async def _serve(self) -> None:
        what = (self._request.method, self._request.url.path)
        try:
            await self._server._app(self._scope(), self._receive, self._send)
            if not (self._started or self._gone):
                logger.error("%s %s: the application did not respond", *what)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException:
            if self._gone:  # Many fail on a lost client, one way or another.
                logger.debug("%s %s failed after its caller had left", *what, exc_info=True)
            else:
                logger.exception("%s %s failed", *what)
        if not self._started:
            text = (b"content-type", b"text/plain; charset=utf-8")
            await self._send({"type": "http.response.start", "status": 500, "headers": [text]})
            await self._send({"type": "http.response.body", "body": b"Internal Server Error"})

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._server._exchanges.discard(self)
        if self._reaper is not None:
            self._reaper.cancel()
        if not self._complete:
            how = "was cancelled" if task.cancelled() else "ended"
            self._deliver(httpx.RemoteProtocolError(f"the application {how} before its response was complete"))
            self._complete = True

    def _scope(self) -> Message:
        url = self._request.url
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": "1.1",
            "method": self._request.method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in self._request.headers.raw],
            "server": (url.host, url.port or (443 if url.scheme == "https" else 80)),
            "client": ("127.0.0.1", 0),
            "state": self._server._lifespan.state.copy(),
            "extensions": {},
        }

    async def _receive(self) -> Message:
        while not (self._gone or self._complete):
            if self._piece is not None:
                piece, self._piece = self._piece, None
                return {"type": "http.request", "body": piece, "more_body": self._more}
            if self._more and not self._asked:
                self._asked = True
                self._deliver(WANT)
            self._readable.clear()
            await self._readable.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and not self._started:
            self._send_start(message["status"], list(message.get("headers", ())))
        elif kind == "http.response.body" and self._started and not self._complete:
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"the application sent {kind} out of turn")

    def _send_start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._started = True
        self._bodiless = self._bodiless or status in (204, 304)
        if not self._bodiless:
            self._promised = next((int(v) for k, v in headers if k.lower() == b"content-length"), None)
        self._deliver(Start(status, headers))

    async def _send_body(self, data: bytes, more: bool) -> None:
        if self._bodiless:
            data = b""
        while data and self._unread >= MAX_UNREAD and not self._gone:
            self._writable.clear()
            await self._writable.wait()
        if more and self._gone:
            # Nobody will read it. An application that does not listen waits here to be cancelled.
            await asyncio.get_running_loop().create_future()
        if more and not data:
            await asyncio.sleep(0)  # Even one that never sends anything must not hold the loop.
            return
        if self._promised is not None:
            self._promised -= len(data)
        self._complete = not more
        if self._complete and self._promised:
            self._deliver(httpx.RemoteProtocolError("the response is not as long as its content-length says"))
        else:
            self._unread += 1
            self._deliver(Chunk(data, last=self._complete))
        if self._complete:
            self._readable.set()
            if self._reaper is not None:
                self._reaper.cancel()
