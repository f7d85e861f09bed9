"""A lake behind all that stands between it and the network: in this process, or in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from dreamlake.server.serve import Server
from dreamlake.server.settings import Settings

from ._lake import WAIT, Client, until


@dataclass
class Served(Client):
    """A client of a lake that listens on a port of this machine."""

    server: Server
    port: int

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def metric(self, name: str) -> float:
        """A number of /metrics; 0 when it was never counted."""
        page = (await self.http.get("/metrics")).raise_for_status().text
        found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0


@asynccontextmanager
async def listening(data: Path, **settings: Any) -> AsyncIterator[Served]:
    """The lake in a folder, served over TCP while the block runs."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listener.getsockname()[1]
    ready = asyncio.Event()
    server = Server(Settings(data, **settings), ready.set)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await asyncio.wait_for(ready.wait(), WAIT)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=WAIT) as http:
            yield Served(http, server.app, data, server, port)
    finally:
        server.should_exit = True
        await running


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection ends, however it does."""
    data = bytearray()
    with contextlib.suppress(ConnectionError):
        while piece := await asyncio.wait_for(reader.read(65536), WAIT):
            data += piece
    return bytes(data)


@dataclass
class Process:
    """``dreamlake serve`` in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    log_path: Path

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=WAIT)

    async def ended(self) -> int:
        """Its exit status."""

        async def check() -> bool:
            return self.process.poll() is not None

        await until(check, "the server to end")
        return self.process.wait()

    async def refuses(self) -> None:
        """It accepts no connection any more."""
        host, port = self.url.removeprefix("http://").split(":")

        async def check() -> bool:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionError:
                return True
            writer.close()
            return False

        await until(check, "the server to stop accepting")

    def log(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def worker(self) -> int | None:
        """The process id of a worker of its."""
        listed = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        for line in listed.stdout.splitlines():
            pid, parent, command = line.split(None, 2)
            if int(parent) == self.process.pid and "lambdas.worker" in command:
                return int(pid)
        return None


@contextmanager
def process(data: Path, log: Path, *options: str) -> Iterator[Process]:
    """Serve a folder from a process of its own."""
    command = [sys.executable, "-m", "dreamlake.cli", "serve", "--port", "0", "--data", str(data), *options]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as running,
    ):
        try:
            assert running.stdout is not None
            found = re.search(r"at (http://\S+)", running.stdout.readline())
            assert found, log.read_text()
            yield Process(running, found[1], log)
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGKILL)
