"""Awaiting callers of an application in this process."""

import asyncio
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from dreamlake.server import inprocess
from dreamlake.server.inprocess import InProcessApp
from dreamlake.server.transport import AsyncInProcessTransport

from ._app import MIB, WAIT, Lake, Pieces, async_client, elsewhere


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
