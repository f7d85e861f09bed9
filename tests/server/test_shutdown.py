"""Signals: what is under way comes to its end, or is left to another server; nothing is lost, and a second one ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest

from dreamlake.core.kinds import LABEL_TRACK

from ._lake import Client, Upload, until
from ._served import Process, process

TRACK = b'{"ts": 0.0, "dt": 1.0, "label": "a"}\n'
ENDED = (0, -signal.SIGTERM)


def jobs(data: Path) -> list[Any]:
    """All rows of jobs: state, attempts and who holds them."""
    with sqlite3.connect(data / "lake.db") as database:
        rows = database.execute("SELECT state, attempts, lease_owner FROM jobs").fetchall()
    database.close()
    return rows


async def stuck_job(server: Process, http: httpx.AsyncClient, data: Path) -> tuple[str, int]:
    """A job that is running, and whose worker stands still; the asset and the worker's process."""
    client = Client(http, None, data)  # type: ignore[arg-type]  # (the application is in another process)
    digest = await client.stage(TRACK, LABEL_TRACK.route)  # starts a worker
    asset = (await client.register("/a.jsonl", digest, LABEL_TRACK)).raise_for_status().json()["id"]

    async def find() -> int | None:
        return server.worker()

    worker: int = await until(find, "a worker")
    os.kill(worker, signal.SIGSTOP)
    (await client.trigger(asset, LABEL_TRACK)).raise_for_status()

    async def running() -> bool:
        return [row[0] for row in jobs(data)] == ["running"]

    await until(running, "the job to run")
    return asset, worker


async def test_a_job_may_end_within_the_grace(lake_data: Path, tmp_path: Path) -> None:
    with process(lake_data, tmp_path / "log", "--grace", "60") as server:
        async with server.client() as http:
            asset, worker = await stuck_job(server, http, lake_data)
            server.process.send_signal(signal.SIGTERM)
            await server.refuses()
        assert server.process.poll() is None
        os.kill(worker, signal.SIGCONT)
        assert await server.ended() in ENDED
    assert jobs(lake_data) == [("done", 1, None)]
    said = [line for line in server.log() if line.get("asset") == asset]
    assert [line["state"] for line in said if "state" in line] == ["done"]


async def test_a_job_that_does_not_end_is_left_to_another_server(lake_data: Path, tmp_path: Path) -> None:
    with process(lake_data, tmp_path / "log", "--grace", "0.5") as server:
        async with server.client() as http:
            asset, worker = await stuck_job(server, http, lake_data)
            server.process.send_signal(signal.SIGTERM)
            assert await server.ended() in ENDED
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    assert jobs(lake_data) == [("queued", 0, None)]
    with process(lake_data, tmp_path / "log-2") as other:
        async with other.client() as http:
            client = Client(http, None, lake_data)  # type: ignore[arg-type]  # (it is in another process)
            assert (await client.finished(asset, LABEL_TRACK))["status"] == "ready"


async def half_a_part(server: Process, http: httpx.AsyncClient) -> tuple[Upload, Any, Any]:
    """A PUT of ten bytes of which five have come."""
    upload = await Client(http, None, Path()).begin(b"0123456789")  # type: ignore[arg-type]  # (it is in another process)
    url = httpx.URL(await upload.url(1))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"PUT %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n01234" % url.raw_path)

    async def running() -> bool:
        return "dreamlake_transfers_running 1.0" in (await http.get("/metrics")).text

    await until(running, "the part to begin")
    return upload, reader, writer


async def test_a_request_in_flight_is_answered(lake_data: Path, tmp_path: Path) -> None:
    with process(lake_data, tmp_path / "log", "--grace", "60") as server:
        async with server.client() as http:
            _, reader, writer = await half_a_part(server, http)
            server.process.send_signal(signal.SIGINT)
            await server.refuses()
            writer.write(b"56789")
            assert b" 200 " in await reader.readline()
            writer.close()
        await server.ended()
    assert [path.stat().st_size for path in (lake_data / "uploads").glob("*/0*")] == [10]


async def test_a_request_that_does_not_end_is_not_waited_for(lake_data: Path, tmp_path: Path) -> None:
    with process(lake_data, tmp_path / "log", "--grace", "0.5") as server:
        async with server.client() as http:
            _, reader, writer = await half_a_part(server, http)
            server.process.send_signal(signal.SIGTERM)
            assert b" 503 " in await reader.readline()
            assert await server.ended() in ENDED
            writer.close()
    assert not any("Exception" in line["message"] or "error" in line for line in server.log())


async def test_a_second_signal_is_the_end(lake_data: Path, tmp_path: Path) -> None:
    with process(lake_data, tmp_path / "log", "--grace", "600") as server:
        async with server.client() as http:
            _, _, writer = await half_a_part(server, http)
            server.process.send_signal(signal.SIGTERM)
            await server.refuses()
            assert server.process.poll() is None
            server.process.send_signal(signal.SIGTERM)
            assert await server.ended() == -signal.SIGTERM
            writer.close()
