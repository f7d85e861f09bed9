"""Litestar, which the lake is made with, inside of this process."""

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from litestar import Litestar, Request, get, post
from litestar.background_tasks import BackgroundTask
from litestar.response import Stream

from dreamlake.server.inprocess import InProcessApp

from ._app import WAIT, Pieces, async_client, sync_client


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
