"""Starting an application inside of this process, and closing it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from dreamlake.server.inprocess import ASGIApp, InProcessApp

from ._app import VARIABLE, WAIT, Lake, answer, sync_client


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
