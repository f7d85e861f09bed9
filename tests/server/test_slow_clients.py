"""Clients that are slow, silent or endless: they are cut off, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from dreamlake.server.operation import listening as tcp

from ._lake import WAIT, until
from ._served import Served, listening, read_all

CLIENTS = 200
HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "TICKS", 1)


@asynccontextmanager
async def trickling(writer: asyncio.StreamWriter, piece: Callable[[], bytes], pause: float) -> AsyncIterator[None]:
    """Send a piece again and again while the block runs, until nobody takes it any more."""

    async def send() -> None:
        try:
            while True:
                writer.write(piece())
                await writer.drain()
                await asyncio.sleep(pause)
        except ConnectionError:
            pass

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


async def test_two_hundred_slow_clients_hold_up_nobody(lake_data: Path) -> None:
    async with listening(lake_data, head_seconds=WAIT) as served:
        slow = [await served.connect() for _ in range(CLIENTS)]
        for _, writer in slow[CLIENTS // 2 :]:
            writer.write(HEAD)
        assert await served.metric("dreamlake_requests_running") == 1  # none of theirs has begun
        for byte in b"X-Slow: 1\r\n":
            for _, writer in slow[CLIENTS // 2 :]:
                writer.write(bytes([byte]))
            assert (await served.http.get("/auth/me")).status_code == 200
        assert not any(reader.at_eof() for reader, _ in slow)
        await served.add("/a.mp4", b"bytes")
        for _, writer in slow:
            writer.close()


async def test_heads_that_do_not_come_are_cut_off(lake_data: Path) -> None:
    async with listening(lake_data, head_seconds=0.5) as served:
        silent = [await served.connect() for _ in range(5)]
        reader, writer = await served.connect()
        writer.write(HEAD)
        async with trickling(writer, lambda: b"X", 0.02):
            assert (await read_all(reader)).startswith(b"HTTP/1.1 408 ")
        for quiet, end in silent:
            assert await read_all(quiet) == b""
            end.close()
        assert await served.metric('dreamlake_cut_connections_total{reason="head"}') == 6


async def test_a_second_head_has_to_come_too(lake_data: Path) -> None:
    async with listening(lake_data, head_seconds=0.5) as served:
        reader, writer = await served.connect()
        writer.write(HEAD + b"\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(b'{"status":"ok"}'))
        writer.write(HEAD)
        async with trickling(writer, lambda: b"X", 0.02):
            assert (await read_all(reader)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_trickles_is_cut_off(lake_data: Path) -> None:
    async with listening(lake_data, body_seconds=0.5, body_rate=1000) as served:
        upload = await served.begin(b"bytes")
        path = httpx.URL(await upload.url(1)).raw_path
        reader, writer = await served.connect()
        writer.write(b"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" % path)
        async with trickling(writer, lambda: b"X", 0.02):
            assert (await read_all(reader)).startswith(b"HTTP/1.1 408 ")
        assert await served.metric('dreamlake_cut_connections_total{reason="body"}') == 1

        async def let_go() -> bool:
            return await served.metric("dreamlake_transfers_running") == 0

        await until(let_go, "the part to be given up")
        assert (await upload.done())["parts"] == []


async def test_a_body_that_comes_slowly_and_steadily_is_taken(lake_data: Path) -> None:
    async with listening(lake_data, body_seconds=0.3, body_rate=100) as served:
        data = b"slow and steady " * 10
        upload = await served.begin(data)

        async def body() -> AsyncIterator[bytes]:
            for at in range(0, len(data), 8):
                yield data[at : at + 8]
                await asyncio.sleep(0.03)

        answer = await served.http.put(await upload.url(1), content=body())
        assert answer.status_code == 200
        assert [part["size"] for part in (await upload.done())["parts"]] == [len(data)]


@pytest.mark.parametrize("method", ["PUT", "POST", "GET"])
async def test_a_body_without_end_is_cut_off(lake_data: Path, method: str) -> None:
    async with listening(lake_data, head_seconds=0.5, max_part_bytes=100_000, max_body_bytes=100_000) as served:
        upload = await served.begin(b"bytes")
        path = {"PUT": httpx.URL(await upload.url(1)).raw_path, "POST": b"/videos", "GET": b"/healthz"}[method]
        reader, writer = await served.connect()
        writer.write(b"%s %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % (method.encode(), path))
        async with trickling(writer, lambda: b"2000\r\n" + b"X" * 0x2000 + b"\r\n", 0.001):
            answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 200 " if method == "GET" else b"HTTP/1.1 413 ")
        assert await served.metric('dreamlake_cut_connections_total{reason="rest"}') == 1


async def test_a_body_shorter_than_it_says_is_no_part(served: Served) -> None:
    upload = await served.begin(b"bytes")
    path = httpx.URL(await upload.url(1)).raw_path
    _, writer = await served.connect()
    writer.write(b"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nby" % path)
    await writer.drain()

    async def running() -> bool:
        return await served.metric("dreamlake_transfers_running") == 1

    async def let_go() -> bool:
        return not await running()

    await until(running, "the part to begin")
    writer.close()
    await until(let_go, "the part to be given up")
    assert (await upload.done())["parts"] == []


async def test_who_takes_no_answer_is_cut_off(lake_data: Path) -> None:
    async with listening(lake_data, stall_seconds=0.5) as served:
        asset = await served.add("/a.mp4", b"\0" * 32 * 1024**2)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", served.port))
        await loop.sock_sendall(client, b"GET /videos/%s/raw HTTP/1.1\r\nHost: x\r\n\r\n" % asset.encode())

        async def cut() -> bool:
            return await served.metric('dreamlake_cut_connections_total{reason="answer"}') == 1

        async def alone() -> bool:
            return await served.metric("dreamlake_requests_running") == 1  # which asks for it

        await until(cut, "the client to be cut off")
        await until(alone, "the answer to be given up")
        client.close()
        whole = await served.http.get(f"/videos/{asset}/raw")
        assert len(whole.content) == 32 * 1024**2


async def test_who_pauses_is_not_cut_off(served: Served) -> None:
    asset = await served.add("/a.mp4", b"\0" * 32 * 1024**2)
    reader, writer = await served.connect()
    writer.write(b"GET /videos/%s/raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % asset.encode())
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # (it reads, too)

    async def full() -> bool:
        return any(one.transport.get_write_buffer_size() for one in served.server.server_state.connections)

    await until(full, "the answer to wait")
    await asyncio.sleep(0.3)  # the server looks for slow clients three times meanwhile
    assert await full()
    writer.transport.resume_reading()  # type: ignore[attr-defined]  # (it reads, too)
    assert (await read_all(reader)).endswith(b"\0" * 32 * 1024**2)
    writer.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 40_000, 414),
        (HEAD + b"X-Large: " + b"a" * 40_000, 431),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (HEAD + b"Content-Length: -5\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
    ],
    ids=["endless path", "endless header", "two lengths", "negative length", "nonsense"],
)
async def test_what_is_no_request_is_refused(served: Served, head: bytes, status: int) -> None:
    reader, writer = await served.connect()
    writer.write(head)
    answer = await read_all(reader)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in answer


async def test_more_connections_than_there_may_be_cost_the_idle_ones(lake_data: Path) -> None:
    async with listening(lake_data, max_connections=10) as served:
        upload = await served.begin(b"bytes")
        reader, writer = await served.connect()
        path = httpx.URL(await upload.url(1)).raw_path
        writer.write(b"PUT %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nby" % path)

        async def running() -> bool:
            return await served.metric("dreamlake_transfers_running") == 1

        await until(running, "the part to begin")
        idle = [await served.connect() for _ in range(50)]
        assert (await served.http.get("/auth/me")).status_code == 200
        assert await served.metric('dreamlake_cut_connections_total{reason="connections"}') >= 40
        writer.write(b"tes")
        assert b" 200 " in await reader.readline()
        for _, end in [*idle, (reader, writer)]:
            end.close()


@pytest.fixture
async def served(lake_data: Path) -> AsyncIterator[Any]:
    async with listening(lake_data) as client:
        yield client
