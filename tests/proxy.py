"""A TCP proxy in front of a served lake: it counts, delays, and damages a byte where it is told to.

::

    with Proxy(served, latency=0.02) as proxy:
        dl.connect(proxy.url)
        ...
        assert proxy.count("/chunks/") == 3
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

PIECE = 64 * 1024
UNTIL_CLOSED = 1 << 62  # bytes of a body whose length nobody says


@dataclass
class _Damage:
    """Which of the responses to come is to be damaged."""

    path: str
    skip: int
    forever: bool


class Proxy:
    """A proxy on a free port of this machine, in a thread of its own.

    Args:
        target: URL of the server behind it.
        latency: seconds of a round trip, half of them in each direction; bytes in flight do not wait for each other.
            A new connection costs one round trip more, as the handshake of TCP does.

    Attributes:
        requests: "GET /videos/…" of every request, in the order in which they came.
        connections: how many were opened.
        sent: bytes from the clients to the server.
        received: bytes from the server to the clients.
    """

    def __init__(self, target: str, latency: float = 0.0) -> None:
        parts = urlsplit(target)
        assert parts.hostname is not None
        self._target = parts.hostname, parts.port or 80
        self._latency = latency
        self._damages: list[_Damage] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="proxy", daemon=True)
        self._port = 0
        self.reset()

    def reset(self) -> None:
        """Count from zero."""
        self.requests: list[str] = []
        self.connections = self.sent = self.received = 0

    def requests_of(self, part: str) -> list[str]:
        """The requests that have this in their line."""
        return [line for line in self.requests if part in line]

    def count(self, part: str) -> int:
        """How many they are."""
        return len(self.requests_of(part))

    def corrupt(self, path: str, nth: int = 1, *, forever: bool = False) -> None:
        """Change one byte in the body of the nth response from now on to a path that has this part.

        Args:
            path: part of it.
            nth: 1 is the next one.
            forever: that one, and all after it.
        """
        self._damages.append(_Damage(path, nth - 1, forever))

    @property
    def url(self) -> str:
        """Where the server seems to be."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connection(reader, writer))
            connections[task] = writer
            task.add_done_callback(connections.pop)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in connections.values():
            writer.transport.abort()  # which ends the connection, wherever it is
        if connections:
            await asyncio.wait(connections, timeout=5)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        asked: deque[str] = deque()  # request lines that were not answered yet
        writers = [writer]

        def request(head: list[str]) -> int | None:
            line = " ".join(head[0].split(" ")[:2])
            self.requests.append(line)
            asked.append(line)
            return None

        def response(head: list[str]) -> int | None:
            status = int(head[0].split(" ")[1])
            if status < 200:
                return 0
            line = asked.popleft()
            if line.startswith("HEAD ") or status in (204, 304):
                return 0
            answer.damage = status < 300 and self._damaged(line)
            return None

        question, answer = _Messages(request), _Messages(response)

        def upwards(data: bytes) -> bytes:
            self.sent += len(data)
            return question.feed(data)

        def downwards(data: bytes) -> bytes:
            self.received += len(data)
            return answer.feed(data)

        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            writers.append(server_writer)
            up = asyncio.create_task(self._pump(reader, server_writer, upwards, self._latency))
            down = asyncio.create_task(self._pump(server_reader, writer, downwards, 0.0))
            try:
                await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            finally:
                up.cancel()
                await asyncio.wait([up])
                # What the server said before it closed still goes out; what the client has left is for nobody.
                if not down.done() and not reader.at_eof():
                    await asyncio.wait([down], timeout=1)
                down.cancel()
                await asyncio.wait([down])
        except OSError:
            return  # the server is not there; the client sees that its connection is closed
        finally:
            for one in writers:
                one.close()
                with suppress(OSError):
                    await one.wait_closed()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passing: Callable[[bytes], bytes],
        handshake: float,
    ) -> None:
        """Bytes from one to the other, each piece half a round trip late."""
        loop = asyncio.get_running_loop()
        begin = loop.time() + handshake
        underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await underway.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    return
                writer.write(data)
                await writer.drain()

        delivery = asyncio.create_task(deliver())
        try:
            with suppress(OSError):
                while data := await reader.read(PIECE):
                    underway.put_nowait((max(begin, loop.time()) + self._latency / 2, passing(data)))
            underway.put_nowait((loop.time() + self._latency / 2, b""))
            with suppress(OSError):
                await asyncio.shield(delivery)
        finally:
            delivery.cancel()
            with suppress(OSError, asyncio.CancelledError):
                await delivery

    def _damaged(self, line: str) -> bool:
        found = False
        for damage in [damage for damage in self._damages if damage.path in line]:
            if damage.skip:
                damage.skip -= 1
                continue
            found = True
            if not damage.forever:
                self._damages.remove(damage)
        return found


class _Messages:
    """HTTP/1.1 messages in a stream of bytes that passes by.

    Args:
        head: called with the lines of each head; returns the length of the body where the head does not tell it.

    Attributes:
        damage: whether to change a byte of the body that comes next.
    """

    def __init__(self, head: Callable[[list[str]], int | None]) -> None:
        self._head = head
        self._lines: list[str] = []
        self._line = b""
        self._body = 0  # bytes of a body, or of a piece of one, that are still to come
        self._state = "head"
        self._at = -1  # how far it is to the byte to change
        self.damage = False

    def feed(self, data: bytes) -> bytes:
        """Look at bytes, and return what is to go on instead of them."""
        passed = bytearray()
        while data:
            if self._body:
                piece, data = bytearray(data[: self._body]), data[self._body :]
                self._body -= len(piece)
                if 0 <= self._at < len(piece):
                    piece[self._at] ^= 0x40
                self._at -= len(piece)
                passed += piece
                continue
            piece, newline, data = data.partition(b"\n")
            passed += piece + newline
            self._line += piece
            if newline:
                line, self._line = self._line.strip().decode("latin-1"), b""
                self._next(line)
        return bytes(passed)

    def _next(self, line: str) -> None:
        """Take in a line that belongs to no body."""
        if self._state == "head" and line:
            self._lines.append(line)
        elif self._state == "head" and self._lines:
            self._begin()
        elif self._state == "size" and line:
            self._body = int(line.split(";")[0], 16)
            self._state = "size" if self._body else "trailer"
        elif self._state == "trailer" and not line:
            self._state = "head"

    def _begin(self) -> None:
        lines, self._lines, self.damage = self._lines, [], False
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        length = self._head(lines)
        if length is None and headers.get("transfer-encoding") == "chunked":
            self._state = "size"
            self._at = 0 if self.damage else -1
            return
        if length is None:
            response = lines[0].startswith("HTTP/")
            length = int(headers.get("content-length", UNTIL_CLOSED if response else 0))
        self._body = length
        self._at = length // 2 if self.damage and length != UNTIL_CLOSED else 0 if self.damage else -1
