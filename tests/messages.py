"""Messages of HTTP/1.1 on a connection, read as they come: what a proxy that meddles with them needs."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

__all__ = ["LONGEST", "Head", "Opening", "Peer"]

PIECE = 256 * 1024
LONGEST = 1 << 62  # the length of a body that ends with the connection


class Head:
    """The head of a message.

    Attributes:
        raw: its bytes, with the empty line.
        line: the first one.
        fields: names in small letters to values.
    """

    def __init__(self, raw: bytes, request: Head | None = None) -> None:
        self.raw = raw
        self.line, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        self.fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self._request = request

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.line.split(" ")[1])

    @property
    def closes(self) -> bool:
        """Whether the connection ends with it."""
        return self.fields.get("connection", "").lower() == "close"

    @property
    def length(self) -> int | None:
        """Bytes of the body; None where it comes in chunks."""
        request = self._request
        if request is not None and (request.line.startswith("HEAD ") or self.status < 200 or self.status in (204, 304)):
            return 0
        if self.fields.get("transfer-encoding", "").lower() == "chunked":
            return None
        return int(self.fields.get("content-length", 0 if request is None else LONGEST))


class Peer:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.write = writer.write
        self.drain = writer.drain

    async def head(self) -> Head | None:
        """The head of the request that comes next; None when none does."""
        try:
            return Head(await self._reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return None

    async def answer_head(self, request: Head) -> Head:
        """The head of the answer to a request."""
        return Head(await self._reader.readuntil(b"\r\n\r\n"), request)

    async def body(self, head: Head, length: int | None) -> AsyncIterator[bytes]:
        """The bytes of a body as they come, with the sizes of its chunks if it has any."""
        while length is None:
            line = await self._reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            yield line
            async for piece in self._exactly(size + 2):  # with the end of the line; the last chunk has only that
                yield piece
            if not size:
                return
        if length == LONGEST:
            while piece := await self._reader.read(PIECE):
                yield piece
            return
        async for piece in self._exactly(length):
            yield piece

    async def _exactly(self, length: int) -> AsyncIterator[bytes]:
        while length:
            try:
                piece = await self._reader.read(min(PIECE, length))
            except OSError as error:
                raise EOFError from error
            if not piece:
                raise EOFError
            length -= len(piece)
            yield piece

    def break_off(self) -> None:
        """Reset the connection, so that the other end sees an error and no end."""
        handle: socket.socket | None = self._writer.get_extra_info("socket")
        if handle is not None and not self._writer.is_closing():
            with suppress(OSError):
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close it."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


class Opening:
    """A connection to the server, for the length of one request."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port

    async def __aenter__(self) -> Peer:
        self._peer = Peer(*await asyncio.open_connection(*self._address, limit=2 * PIECE))
        return self._peer

    async def __aexit__(self, *error: object) -> None:
        if error[0] is not None:
            self._peer.break_off()
        await self._peer.close()
