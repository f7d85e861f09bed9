"""The in-process server: raw ASGI applications and Litestar behind httpx, without a port."""

import asyncio
import contextvars
import gc
import queue
import subprocess
import sys
import textwrap
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest
from litestar import Litestar, Request, get, post
from litestar.background_tasks import BackgroundTask
from litestar.response import Stream

from dreamlake.server import inprocess
from dreamlake.server.embedded import close_lakes
from dreamlake.server.inprocess import ASGIApp, AsyncInProcessTransport, InProcessApp, InProcessTransport
from dreamlake.server.loopthread import LoopThread

MIB = 1 << 20
WAIT = 20.0  # Bounds what must happen soon; nothing waits this long unless it is broken.


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def alone() -> None:
    """No other lake of this process runs: its thread would have the same name."""
    close_lakes()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprocess, "GRACE_SECONDS", 0.02)


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


@pytest.fixture
def lake() -> Lake:
    return Lake()


@pytest.fixture
def server(lake: Lake) -> Iterator[InProcessApp]:
    with InProcessApp(lambda: lake) as server:
        yield server


@pytest.fixture
def client(server: InProcessApp) -> Iterator[httpx.Client]:
    with sync_client(server) as client:
        yield client


@pytest.fixture
async def aclient(server: InProcessApp) -> AsyncIterator[httpx.AsyncClient]:
    async with async_client(server) as client:
        yield client


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


# The loop thread


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    thread.start()
    yield thread
    assert thread.stop(WAIT)


def test_loop_thread_runs_and_raises(loop_thread: LoopThread) -> None:
    async def where() -> tuple[str, bool]:
        return threading.current_thread().name, threading.current_thread().daemon

    async def fail() -> None:
        raise KeyError("as it is")

    assert loop_thread.run(where) == ("dreamlake-lake", True)
    with pytest.raises(KeyError, match="as it is"):
        loop_thread.run(fail)
    with pytest.raises(RuntimeError, match="already started"):
        loop_thread.start()


def test_loop_thread_does_not_wait_for_itself(loop_thread: LoopThread) -> None:
    async def never() -> None:
        raise AssertionError

    async def inside() -> None:
        assert loop_thread.here
        loop_thread.run(never)

    assert not loop_thread.here
    with pytest.raises(RuntimeError, match="cannot wait"):
        loop_thread.run(inside)


def test_loop_thread_cancels_what_is_given_up(loop_thread: LoopThread) -> None:
    running, cancelled = threading.Event(), threading.Event()

    async def hang() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        loop_thread.run(hang, timeout=0.01)
    assert cancelled.wait(WAIT)
    cancelled.clear()
    running.clear()
    future = loop_thread.submit(hang)
    assert running.wait(WAIT)
    assert future.cancel()
    assert cancelled.wait(WAIT)


def test_an_exit_inside_the_loop_thread_leaves_nobody_waiting() -> None:
    thread = LoopThread()
    thread.start()

    async def leave() -> None:
        raise SystemExit(3)

    waiting = thread.submit(lambda: asyncio.sleep(3600))
    with pytest.raises(SystemExit):
        thread.run(leave)
    with pytest.raises(CancelledError):
        waiting.result(WAIT)
    assert thread.stop(WAIT)
    with pytest.raises(RuntimeError, match="not running"):
        thread.run(leave)


def test_loop_thread_stops_once_and_for_all() -> None:
    thread = LoopThread()

    async def nothing() -> None:
        return None

    with pytest.raises(RuntimeError, match="not running"):
        thread.run(nothing)
    assert thread.stop()
    thread.start()
    hanging = thread.submit(lambda: asyncio.sleep(3600))
    assert thread.stop(WAIT)
    assert thread.stop(WAIT)
    with pytest.raises(CancelledError):
        hanging.result(WAIT)
    with pytest.raises(RuntimeError, match="not running"):
        thread.run(nothing)
    assert not thread.post(print, "never")


def test_loop_thread_gives_up_on_a_blocked_loop() -> None:
    thread = LoopThread()
    thread.start()
    blocked, release = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        release.wait(WAIT)

    thread.submit(block)
    assert blocked.wait(WAIT)
    assert not thread.stop(0.01)
    release.set()
    assert thread.stop(WAIT)


def test_loop_thread_drops_nothing_it_took() -> None:
    """Submissions that race with stop either are refused or come to an end."""

    async def nothing() -> int:
        return 1

    for _ in range(20):
        thread = LoopThread()
        thread.start()
        barrier = threading.Barrier(5)

        def work(thread: LoopThread = thread, barrier: threading.Barrier = barrier) -> int:
            barrier.wait(WAIT)
            done = 0
            try:
                while True:
                    done += thread.submit(nothing).result(WAIT)
            except (RuntimeError, CancelledError):
                return done

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(work) for _ in range(4)]
            barrier.wait(WAIT)
            assert thread.stop(WAIT)
            assert all(future.result(WAIT) >= 0 for future in futures)


# Starting and closing


def test_lifespan(lake: Lake) -> None:
    made_in: list[str] = []

    def make() -> ASGIApp:
        made_in.append(threading.current_thread().name)
        return lake

    server = InProcessApp(make)
    assert made_in == ["dreamlake-lake"]
    assert lake.seen == [("startup", "dreamlake-lake")]
    server.close()
    server.close()
    assert lake.seen[1:] == ["shutdown"]
    assert "dreamlake-lake" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("raises", [True, False])
def test_failed_startup_is_raised(reports: bool, raises: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if reports:
            await send({"type": "lifespan.startup.failed", "message": "no such disk"})
        if raises:
            raise OSError("no such disk")

    if reports or raises:
        with pytest.raises(OSError if raises else RuntimeError, match=r"^no such disk$"):
            InProcessApp(lambda: app)
    else:
        InProcessApp(lambda: app).close()  # An application without a lifespan.
    assert "dreamlake-lake" not in {thread.name for thread in threading.enumerate()}


def test_failed_startup_that_hangs_is_raised(short_grace: None) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.failed"})
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="the application failed its startup"):
        InProcessApp(lambda: app)


def test_failure_to_make_the_app_is_raised() -> None:
    def make() -> ASGIApp:
        raise LookupError("no configuration")

    with pytest.raises(LookupError, match="no configuration"):
        InProcessApp(make)
    assert "dreamlake-lake" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("reports", [True, False])
def test_failed_shutdown_is_logged(reports: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if reports:
            await send({"type": "lifespan.shutdown.failed", "message": "disk is gone"})
        else:
            raise OSError("disk is gone")

    InProcessApp(lambda: app).close()
    assert "disk is gone" in caplog.text


def test_close_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.Event().wait()

    InProcessApp(lambda: app).close(timeout=0.05)
    assert "did not shut down cleanly" in caplog.text
    assert "dreamlake-lake" not in {thread.name for thread in threading.enumerate()}


def test_close_from_many_threads(lake: Lake) -> None:
    server = InProcessApp(lambda: lake)
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(server.close) for _ in range(8)]:
            future.result(WAIT)
            assert lake.seen[-1] == "shutdown"  # Nobody returns before it is closed.
    assert lake.seen.count("shutdown") == 1


def test_close_ends_requests_in_flight(lake: Lake) -> None:
    server = InProcessApp(lambda: lake)
    with sync_client(server) as client, ThreadPoolExecutor(2) as pool:
        silent = pool.submit(client.get, "/listen?silent")
        assert lake.reached("received")
        with client.stream("GET", "/forever") as streaming:
            chunks = streaming.iter_raw()
            assert next(chunks) == b"x"
            server.close()
            with pytest.raises(httpx.RemoteProtocolError, match="closed"):
                list(chunks)
        with pytest.raises(httpx.RemoteProtocolError, match="closed"):
            silent.result(WAIT)
        with pytest.raises(httpx.ConnectError, match="closed"):
            client.get("/hello")
    assert lake.seen.count("cancelled") == 2
    assert lake.seen[-1] == "shutdown"


def test_requests_that_race_with_close_end(lake: Lake) -> None:
    server = InProcessApp(lambda: lake)
    barrier = threading.Barrier(5)

    def work() -> None:
        with sync_client(server) as client:
            barrier.wait(WAIT)
            while True:
                client.get("/hello")

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(work) for _ in range(4)]
        barrier.wait(WAIT)
        server.close()
        for future in futures:
            with pytest.raises((httpx.ConnectError, httpx.RemoteProtocolError)):
                future.result(WAIT)


async def test_closed_for_async_callers(server: InProcessApp, aclient: httpx.AsyncClient) -> None:
    server.close()
    with pytest.raises(httpx.ConnectError):
        await aclient.get("/hello")


def test_the_application_cannot_close_or_call_itself() -> None:
    errors: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            for call in (server.close, lambda: client.get("/")):
                with pytest.raises(RuntimeError) as caught:
                    call()
                errors.append(str(caught.value))
            await answer(send, b"")

    with InProcessApp(lambda: app) as server, sync_client(server) as client:
        assert client.get("/").status_code == 200
    assert "cannot close" in errors[0]
    assert "wait for ever" in errors[1]


# The scope


def test_scope(lake: Lake, client: httpx.Client) -> None:
    client.get("/%73cope?a=%20b&c", headers={"X-MiXed": "Value"})
    scope = lake.seen[1]
    headers = scope.pop("headers")
    assert (b"x-mixed", b"Value") in headers
    assert (b"host", b"lake") in headers
    assert all(type(name) is type(value) is bytes and name == name.lower() for name, value in headers)
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/scope",
        "raw_path": b"/%73cope",
        "query_string": b"a=%20b&c",
        "root_path": "",
        "server": ("lake", 80),
        "client": ("127.0.0.1", 0),
        "state": {"answer": 42},
        "extensions": {},
    }


def test_state_is_a_copy_for_each_request(lake: Lake, client: httpx.Client) -> None:
    client.get("/scope")
    client.get("/scope")
    first, second = lake.seen[1:]
    first["state"]["answer"] = 0
    assert second["state"]["answer"] == 42


def test_the_callers_context_stays_outside(client: httpx.Client) -> None:
    VARIABLE.set("the caller's")
    assert client.get("/context").text == "unset"


def test_worker_threads_outlive_a_request(lake: Lake, client: httpx.Client) -> None:
    for _ in range(3):
        client.get("/worker")
    assert len(set(lake.seen[1:])) == 1


# Blocking callers


def test_bodies(client: httpx.Client) -> None:
    assert client.post("/count", content=b"12345").text == "5"
    assert client.post("/count").text == "0"
    assert client.post("/count", content=Pieces(7)).text == "70"
    assert client.post("/count", content=iter([])).text == "0"
    assert int(client.post("/count", files={"f": b"x" * 1000}).text) > 1000
    assert client.post("/echo", content=iter([b"a", b"", b"bc"])).content == b"abc"


def test_giving_up_on_receiving(lake: Lake, client: httpx.Client) -> None:
    """No piece is lost, and none is asked for twice."""
    body = Pieces(7)
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(client.post, "/impatient", content=body)
        assert lake.reached("given up")
        client.get("/settle")
        received = len(lake.seen[1:])
        assert body.pulled <= received + 1
        client.get("/release")
        assert upload.result(WAIT).text == str(10 * (7 - received))


def test_the_body_is_pulled_as_it_is_received(lake: Lake, client: httpx.Client) -> None:
    body = Pieces(1000)
    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(client.post, "/three", content=body)
        assert lake.reached("three")
        client.get("/settle")
        assert body.pulled == 3
        client.get("/release")
        assert upload.result(WAIT).text == "enough"
    assert body.pulled == 3


def test_an_answer_without_the_body(client: httpx.Client) -> None:
    body = Pieces(1000)
    assert client.post("/none", content=body).text == "unread"
    assert body.pulled == 0


def test_the_response_is_produced_as_it_is_consumed(lake: Lake, client: httpx.Client) -> None:
    with client.stream("GET", "/chunks?20") as response:
        client.get("/settle")
        ahead = inprocess.MAX_UNREAD + 1  # Two handed over, and one that is waiting to be.
        assert lake.produced == ahead
        for taken, chunk in enumerate(response.iter_raw(), 1):
            assert chunk == bytes([taken - 1]) * MIB
            client.get("/settle")
            assert lake.produced == min(taken + ahead, 20)
    assert taken == 20
    assert lake.reached("sent")


def test_body_and_response_at_once(client: httpx.Client) -> None:
    body = Pieces(100)
    with client.stream("POST", "/echo", content=body) as response:
        for taken, chunk in enumerate(response.iter_raw(), 1):
            assert chunk == bytes(10)
            assert body.pulled <= taken + inprocess.MAX_UNREAD + 1
    assert body.pulled == 100


@pytest.mark.parametrize("way", ["up", "down"])
def test_large_bodies_in_bounded_memory(way: str, client: httpx.Client) -> None:
    tracemalloc.start()
    try:
        if way == "up":
            assert int(client.post("/count", content=Pieces(300, MIB)).text) == 300 * MIB
        else:
            with client.stream("GET", "/chunks?300") as response:
                assert sum(map(len, response.iter_raw())) == 300 * MIB
        assert tracemalloc.get_traced_memory()[1] < 10 * MIB
    finally:
        tracemalloc.stop()


def test_leaving_a_listening_application(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    with client.stream("GET", "/listen") as response:
        assert next(response.iter_raw()) == b"x"
    assert lake.reached("over")
    assert lake.seen[1:] == [b"", "disconnect", "cancelled"]


def test_leaving_a_deaf_application(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    with client.stream("GET", "/forever"):
        pass
    assert lake.reached("over")
    assert lake.seen[1:] == ["cancelled"]
    assert lake.produced <= inprocess.MAX_UNREAD + 1


def test_dropping_a_response(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    client.send(client.build_request("GET", "/forever"), stream=True)
    gc.collect()
    assert lake.reached("over")
    assert lake.seen[1:] == ["cancelled"]


def test_what_is_answered_may_go_on(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    with client.stream("GET", "/background"):
        client.get("/settle")
    client.get("/settle")
    client.get("/release")
    assert lake.reached("done")


def test_answering_a_caller_who_left(lake: Lake, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprocess, "GRACE_SECONDS", 0)  # Time for one turn of the loop.
    with pytest.raises(httpx.ReadTimeout):
        client.get("/polite", timeout=0.05)
    assert lake.reached("received")
    client.get("/settle")
    client.get("/release")
    assert lake.reached("done")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("HEAD", 404)])
def test_responses_without_a_body(method: str, status: int, client: httpx.Client) -> None:
    response = client.request(method, f"/status?{status}")
    assert (response.status_code, response.content) == (status, b"")
    assert response.headers["x-kept"] == "yes"


def test_head_with_a_content_length(client: httpx.Client) -> None:
    response = client.head("/hello")
    assert (response.headers["content-length"], response.content) == ("5", b"")


@pytest.mark.parametrize("how", ["", "exit"])
def test_failure_before_the_response(how: str, client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    response = client.get(f"/fail?{how}")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert "GET /fail failed" in caplog.text
    assert client.head("/fail").status_code == 500
    assert client.get("/hello").text == "hello"


def test_failure_within_the_response(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with client.stream("GET", "/fail?late") as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"x"
        with pytest.raises(httpx.RemoteProtocolError, match="ended before"):
            next(chunks)
    assert "broken on purpose" in caplog.text


def test_unfinished_responses(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    assert client.get("/returns").status_code == 500
    assert "did not respond" in caplog.text
    with pytest.raises(httpx.RemoteProtocolError, match="ended before"):
        client.get("/returns?late")
    with pytest.raises(httpx.RemoteProtocolError, match="content-length"):
        client.get("/short")


def test_messages_out_of_turn(lake: Lake, client: httpx.Client) -> None:
    assert client.get("/unruly").text == "fine"
    assert lake.reached("done")


def test_failing_body(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    # An error that the transport handles elsewhere: the caller's must not be mistaken for it.
    with pytest.raises(queue.Empty, match="of the caller"):
        client.post("/listen?silent", content=Pieces(2, error=queue.Empty("of the caller")))
    assert lake.reached("over")
    assert lake.seen[1:] == [bytes(10), bytes(10), "disconnect", "cancelled"]


def test_read_timeout(lake: Lake, client: httpx.Client, short_grace: None) -> None:
    timeout = httpx.Timeout(WAIT, read=0.02)
    with pytest.raises(httpx.ReadTimeout):
        client.get("/listen?silent", timeout=timeout)
    assert lake.reached("over")
    with client.stream("GET", "/listen", timeout=timeout) as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"x"
        with pytest.raises(httpx.ReadTimeout):
            next(chunks)


def test_many_threads(server: InProcessApp, client: httpx.Client) -> None:
    def work(number: int) -> None:
        own = sync_client(server)
        for count in range(25):
            for either in (own, client):
                body = [f"{number}-{count}-{index} ".encode() for index in range(5)]
                assert either.post("/echo", content=iter(body)).content == b"".join(body)
        own.close()

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, number) for number in range(8)]:
            future.result(WAIT)


async def test_blocking_use_inside_a_running_loop(client: httpx.Client) -> None:
    assert client.get("/hello").text == "hello"  # noqa: ASYNC212
    assert client.post("/count", content=Pieces(3)).text == "30"  # noqa: ASYNC212


# Awaiting callers


async def test_async_bodies(aclient: httpx.AsyncClient) -> None:
    assert (await aclient.post("/count", content=b"12345")).text == "5"
    assert (await aclient.post("/count")).text == "0"
    assert (await aclient.post("/count", content=Pieces(7).to_async())).text == "70"
    assert int((await aclient.post("/count", files={"f": b"x" * 1000})).text) > 1000
    assert (await aclient.post("/echo", content=Pieces(7).to_async())).content == bytes(70)


async def test_async_body_is_pulled_as_it_is_received(lake: Lake, aclient: httpx.AsyncClient) -> None:
    body = Pieces(1000)
    upload = asyncio.create_task(aclient.post("/three", content=body.to_async()))
    assert await elsewhere(lake.reached, "three")
    await aclient.get("/settle")
    assert body.pulled == 3
    await aclient.get("/release")
    assert (await upload).text == "enough"
    assert body.pulled == 3


async def test_async_answer_without_the_body(aclient: httpx.AsyncClient) -> None:
    body = Pieces(1000)
    assert (await aclient.post("/none", content=body.to_async())).text == "unread"
    assert body.pulled == 0


async def test_async_response_is_produced_as_it_is_consumed(lake: Lake, aclient: httpx.AsyncClient) -> None:
    async with aclient.stream("GET", "/chunks?20") as response:
        await aclient.get("/settle")
        ahead = inprocess.MAX_UNREAD + 1
        assert lake.produced == ahead
        taken = 0
        async for chunk in response.aiter_raw():
            assert chunk == bytes([taken]) * MIB
            taken += 1
            await aclient.get("/settle")
            assert lake.produced == min(taken + ahead, 20)
    assert taken == 20


@pytest.mark.parametrize("way", ["up", "down"])
async def test_async_large_bodies_in_bounded_memory(way: str, aclient: httpx.AsyncClient) -> None:
    tracemalloc.start()
    try:
        if way == "up":
            response = await aclient.post("/count", content=Pieces(300, MIB).to_async())
            assert int(response.text) == 300 * MIB
        else:
            async with aclient.stream("GET", "/chunks?300") as response:
                assert sum([len(chunk) async for chunk in response.aiter_raw()]) == 300 * MIB
        assert tracemalloc.get_traced_memory()[1] < 10 * MIB
    finally:
        tracemalloc.stop()


async def test_async_leaving(lake: Lake, aclient: httpx.AsyncClient, short_grace: None) -> None:
    async with aclient.stream("GET", "/listen") as response:
        async for chunk in response.aiter_raw():
            assert chunk == b"x"
            break
    assert await elsewhere(lake.reached, "over")
    assert lake.seen[1:] == [b"", "disconnect", "cancelled"]


async def test_cancelling_before_the_response(lake: Lake, aclient: httpx.AsyncClient, short_grace: None) -> None:
    request = asyncio.create_task(aclient.get("/listen?silent"))
    assert await elsewhere(lake.reached, "received")
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert await elsewhere(lake.reached, "over")
    assert lake.seen[1:] == [b"", "disconnect", "cancelled"]


async def test_cancelling_within_the_response(lake: Lake, aclient: httpx.AsyncClient, short_grace: None) -> None:
    reading = asyncio.Event()

    async def read() -> None:
        async with aclient.stream("GET", "/listen") as response:
            async for _ in response.aiter_raw():
                reading.set()

    task = asyncio.create_task(read())
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await elsewhere(lake.reached, "over")
    assert lake.seen[1:] == [b"", "disconnect", "cancelled"]


async def test_async_failures(aclient: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    assert (await aclient.get("/fail")).status_code == 500
    for path in ("/fail?late", "/returns?late", "/short"):
        with pytest.raises(httpx.RemoteProtocolError):
            await aclient.get(path)
    assert "broken on purpose" in caplog.text
    assert (await aclient.head("/hello")).content == b""


async def test_async_failing_body(lake: Lake, aclient: httpx.AsyncClient, short_grace: None) -> None:
    body = Pieces(2, error=TimeoutError("of the caller"))
    with pytest.raises(TimeoutError, match="of the caller"):
        await aclient.post("/listen?silent", content=body.to_async())
    assert await elsewhere(lake.reached, "over")
    assert lake.seen[1:] == [bytes(10), bytes(10), "disconnect", "cancelled"]


async def test_async_read_timeout(aclient: httpx.AsyncClient, short_grace: None) -> None:
    timeout = httpx.Timeout(WAIT, read=0.02)
    with pytest.raises(httpx.ReadTimeout):
        await aclient.get("/listen?silent", timeout=timeout)
    async with aclient.stream("GET", "/listen", timeout=timeout) as response:
        with pytest.raises(httpx.ReadTimeout):
            await response.aread()


async def test_many_tasks(aclient: httpx.AsyncClient) -> None:
    async def work(number: int) -> None:
        for count in range(10):
            text = f"{number}-{count}"
            assert (await aclient.post("/echo", content=text)).text == text

    await asyncio.gather(*(work(number) for number in range(20)))


def test_one_loop_after_another(server: InProcessApp) -> None:
    transport = AsyncInProcessTransport(server)

    async def use() -> str:
        async with httpx.AsyncClient(transport=transport, base_url="http://lake") as client:
            return (await client.post("/count", content=Pieces(3).to_async())).text

    assert [asyncio.run(use()), asyncio.run(use())] == ["30", "30"]


def test_loops_at_once(server: InProcessApp) -> None:
    async def use() -> list[str]:
        async with async_client(server) as client:
            return [(await client.post("/count", content=Pieces(3).to_async())).text for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(asyncio.run, use()) for _ in range(4)]
        assert all(future.result(WAIT) == ["30"] * 20 for future in futures)


def test_a_loop_that_closes_on_its_response(
    server: InProcessApp, lake: Lake, client: httpx.Client, short_grace: None
) -> None:
    async def leave_behind() -> httpx.Response:
        request = httpx.Request("GET", "http://lake/released")
        return await AsyncInProcessTransport(server).handle_async_request(request)

    kept = asyncio.run(leave_behind())
    client.get("/release")  # What comes now finds the caller's loop closed.
    assert lake.reached("over")
    assert lake.seen[1:] == ["cancelled"]
    assert kept.status_code == 200


# Litestar


@get("/json", sync_to_thread=False)
def get_json() -> dict[str, int]:
    return {"a": 1}


@get("/sync", sync_to_thread=True)
def get_in_a_worker_thread() -> str:
    assert threading.current_thread().name != "dreamlake-lake"
    return "in a worker thread"


@get("/stream")
async def get_stream() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"chunk"

    return Stream(chunks())


@get("/endless")
async def get_endless() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"chunk"

    return Stream(chunks(), background=BackgroundTask(ENDED.set))


ENDED = threading.Event()


@get("/broken")
async def get_broken() -> None:
    raise ValueError("a bug in a handler")


@post("/upload")
async def upload(request: Request[Any, Any, Any]) -> dict[str, int]:
    return {"size": sum([len(chunk) async for chunk in request.stream()])}


@pytest.fixture
def litestar() -> Iterator[InProcessApp]:
    handlers = [get_json, get_in_a_worker_thread, get_stream, get_endless, get_broken, upload]
    # Litestar would configure the root logger, which belongs to the process it is a guest in.
    with InProcessApp(lambda: Litestar(handlers, logging_config=None)) as server:
        yield server


def test_litestar(litestar: InProcessApp) -> None:
    with sync_client(litestar) as client:
        assert client.get("/json").json() == {"a": 1}
        assert client.get("/stream").content == b"chunk" * 5
        assert client.post("/upload", content=Pieces(9)).json() == {"size": 90}
        assert client.post("/upload", content=b"123").json() == {"size": 3}
        assert client.get("/nowhere").status_code == 404
        assert client.get("/broken").status_code == 500
        assert client.get("/sync").text == "in a worker thread"


def test_leaving_litestar(litestar: InProcessApp) -> None:
    ENDED.clear()
    with sync_client(litestar) as client, client.stream("GET", "/endless") as response:
        assert next(response.iter_raw()) == b"chunk"
    assert ENDED.wait(WAIT)


async def test_litestar_async(litestar: InProcessApp) -> None:
    async with async_client(litestar) as client:
        assert (await client.get("/json")).json() == {"a": 1}
        assert (await client.get("/stream")).content == b"chunk" * 5
        assert (await client.post("/upload", content=Pieces(9).to_async())).json() == {"size": 90}


def test_litestar_startup_failure() -> None:
    async def fail() -> None:
        raise PermissionError("the lake's folder is not writable")

    with pytest.raises(PermissionError, match=r"^the lake's folder is not writable$"):
        InProcessApp(lambda: Litestar([get_json], on_startup=[fail], logging_config=None))


# Processes

SCRIPT = """
import asyncio, atexit, json, os, sys, threading
import httpx
from dreamlake.server.inprocess import InProcessApp, InProcessTransport

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await asyncio.to_thread(int)  # Now the loop has an executor, which no longer works at the exit.
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/hang":
        hanging.set()
        await asyncio.Event().wait()
    for _ in range(5):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await send({"type": "http.response.body", "body": b"x"})

hanging = threading.Event()
server = InProcessApp(lambda: app)
client = httpx.Client(transport=InProcessTransport(server), base_url="http://lake")
assert client.get("/").text == "xxxxxx"
"""


def run_script(script: str) -> list[str]:
    """What the script prints, if it ends well and without a word on stderr."""
    # Newer Pythons deprecate os.fork beside threads, which is what these scripts are about.
    warnings = ["-W", "error", "-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *warnings, "-c", SCRIPT + textwrap.dedent(script)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_close_at_exit() -> None:
    assert run_script("atexit.register(server.close)") == ["shutdown"]


def test_close_at_exit_with_a_request_in_flight() -> None:
    script = """
    def hang():
        try:
            client.get("/hang", timeout=None)
        except httpx.RemoteProtocolError:
            told.set()

    told = threading.Event()
    threading.Thread(target=hang, daemon=True).start()
    assert hanging.wait(20)
    atexit.register(lambda: print(told.wait(20), flush=True))
    atexit.register(server.close)
    """
    assert run_script(script) == ["shutdown", "True"]


def test_exit_closes_by_itself() -> None:
    assert run_script("") == ["shutdown"]


def test_interrupting_a_blocking_call() -> None:
    script = """
    import signal

    def interrupt():
        hanging.wait(20)
        os.kill(os.getpid(), signal.SIGINT)
        # Python misses a signal that comes in the instant before a lock blocks, whoever takes the lock.
        while not interrupted.wait(1):
            os.kill(os.getpid(), signal.SIGINT)

    interrupted = threading.Event()
    threading.Thread(target=interrupt).start()
    try:
        client.get("/hang", timeout=None)
    except KeyboardInterrupt:
        interrupted.set()
    print(client.get("/").text, flush=True)
    """
    assert run_script(script) == ["xxxxxx", "shutdown"]


def test_a_forked_child_is_told() -> None:
    script = """
    def hold_the_locks():
        with server._thread._gate, server._closing:
            held.set()
            forked.wait(20)

    held, forked = threading.Event(), threading.Event()
    with client.stream("GET", "/") as response:
        chunks = response.iter_raw()
        next(chunks)
        # In the child, this thread does not exist and its locks are held for ever.
        holder = threading.Thread(target=hold_the_locks)
        holder.start()
        held.wait(20)
        child = os.fork()
        if child == 0:
            for use in (lambda: next(chunks), lambda: client.get("/")):
                try:
                    use()
                except RuntimeError as error:
                    print("is a fork" in str(error), flush=True)
            response.close()
            server.close()
            with InProcessApp(lambda: app) as own:
                with httpx.Client(transport=InProcessTransport(own), base_url="http://lake") as fresh:
                    print(fresh.get("/").text, flush=True)
            sys.exit(0)
        forked.set()
        holder.join()
        print(os.waitpid(child, 0)[1], flush=True)
        print(b"".join(chunks).decode(), flush=True)
    """
    assert run_script(script) == ["True", "True", "xxxxxx", "shutdown", "0", "xxxxx", "shutdown"]
