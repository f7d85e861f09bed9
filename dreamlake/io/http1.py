"""HTTP/1.1 for httpx, straight over a socket: a request goes out in one piece, and its answer comes in as one.

Through the pool of httpcore an exchange takes several times the processor time that it takes here, and while a bulk
inference waits for Python, it does not wait for the engine. So the engine's client has this below it, and all else of
httpx above. The protocol is h11's, as it is httpcore's; TLS is Python's. There are no proxies and no streams.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar, cast

import h11
import httpx

__all__ = ["AsyncHttp1Transport", "Http1Transport"]

MAX_HEAD = 100 * 1024  # bytes of an answer's head, as httpcore has it
PIECE = 128 * 1024  # bytes that are read at once
IDLE_SECONDS = 5.0  # after which a connection is not used again, as httpx has it: servers close them
NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

_Origin = tuple[str, str, int]  # scheme, host and port


class _Exchange:
    """Our side of HTTP/1.1 on one connection, without the connection."""

    def __init__(self) -> None:
        self._machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._head: h11.Response | None = None
        self._body: list[bytes] = []

    def asked(self, request: httpx.Request, body: bytes) -> bytes:
        """What to send."""
        send = self._machine.send
        try:
            head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
            pieces = (send(head), send(h11.Data(data=body)) if body else b"", send(h11.EndOfMessage()))
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        return b"".join(piece for piece in pieces if piece)

    def heard(self, data: bytes | bytearray | memoryview) -> httpx.Response | None:
        """Take what has come, nothing where there will be no more; the answer when that was all of it."""
        if not data and self._head is None:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        try:
            self._machine.receive_data(cast("bytes", data))  # it is added to a bytearray
            while (event := self._machine.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    self._body.append(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return self._answer()
                elif isinstance(event, h11.Response):
                    self._head = event
                elif not isinstance(event, h11.InformationalResponse):
                    raise httpx.RemoteProtocolError("The server has switched to another protocol.")
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return None

    def begin_anew(self) -> bool:
        """Whether the connection can be used again, and if so make ready for it."""
        ended = self._machine.our_state is h11.DONE and self._machine.their_state is h11.DONE
        if ended:
            self._machine.start_next_cycle()
        return ended and not self._machine.trailing_data[0]

    def _answer(self) -> httpx.Response:
        head, body = self._head, b"".join(self._body)
        self._head, self._body = None, []
        assert head is not None
        extensions = {"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason}
        # As it came: a body that says how it is packed is unpacked by httpx.
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), content=body, extensions=extensions)


class _Connection(Protocol):
    """What both kinds of connections have in common."""

    exchange: _Exchange

    def is_stale(self) -> bool:
        """Whether something has come though nothing was asked: the other side has closed it."""

    def close(self) -> None:
        """Close it at once."""


C = TypeVar("C", bound=_Connection)


class _Idle(Generic[C]):
    """Connections that are open and wait for a request. Any number of threads may use it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[_Origin, deque[tuple[float, C]]] = {}
        self._closed = False

    def take(self, origin: _Origin) -> C | None:
        """The one that was used last, or none."""
        waiting = self._waiting.setdefault(origin, deque())
        while True:
            try:
                since, connection = waiting.pop()
            except IndexError:
                return None
            if time.monotonic() - since < IDLE_SECONDS and not connection.is_stale():
                return connection
            connection.close()

    def keep(self, origin: _Origin, connection: C) -> None:
        """It is not needed now."""
        waiting = self._waiting.setdefault(origin, deque())
        if self._closed or len(waiting) >= self._most or not connection.exchange.begin_anew():
            connection.close()
        else:
            waiting.append((time.monotonic(), connection))

    def close(self) -> None:
        """Close them all; those that are in use are closed when they are not needed any more."""
        self._closed = True
        for waiting in self._waiting.values():
            while waiting:
                waiting.pop()[1].close()


class Http1Transport(httpx.BaseTransport):
    """Exchanges that block; any number of threads may use it at once.

    Args:
        keep: connections to one server that are kept open when they are not needed.
    """

    def __init__(self, keep: int) -> None:
        self._idle: _Idle[_Blocking] = _Idle(keep)
        self._tls = _Tls()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange; the whole body of the answer is there when this returns."""
        body, limits, origin = request.read(), _Limits(request), _origin(request)
        connection = self._idle.take(origin)
        if connection is None:
            with _errors(httpx.ConnectTimeout, httpx.ConnectError):
                connection = _Blocking.to(origin, self._tls, limits.connect)
        try:
            data = connection.exchange.asked(request, body)
            unsent = None
            try:
                with _errors(httpx.WriteTimeout, httpx.WriteError):
                    connection.send(data, limits.write)
            except httpx.WriteError as error:
                unsent = error  # whoever does not read a request to its end may have said why
            answer = None
            with _errors(httpx.ReadTimeout, httpx.ReadError, unsent):
                while answer is None:
                    answer = connection.exchange.heard(connection.receive(limits.read))
        except BaseException:
            connection.close()
            raise
        self._idle.keep(origin, connection)
        return answer

    def close(self) -> None:
        """Close what is kept open."""
        self._idle.close()


class AsyncHttp1Transport(httpx.AsyncBaseTransport):
    """The same in one event loop.

    Args:
        keep: as above.
    """

    def __init__(self, keep: int) -> None:
        self._idle: _Idle[_Streams] = _Idle(keep)
        self._tls = _Tls()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange; the whole body of the answer is there when this returns."""
        body, limits, origin = await request.aread(), _Limits(request), _origin(request)
        connection = self._idle.take(origin)
        if connection is None:
            with _errors(httpx.ConnectTimeout, httpx.ConnectError):
                connection = await _Streams.to(origin, self._tls, limits.connect)
        try:
            data = connection.exchange.asked(request, body)
            unsent = None
            try:
                with _errors(httpx.WriteTimeout, httpx.WriteError):
                    await connection.send(data, limits.write)
            except httpx.WriteError as error:
                unsent = error  # as above
            answer = None
            with _errors(httpx.ReadTimeout, httpx.ReadError, unsent):
                while answer is None:
                    answer = connection.exchange.heard(await connection.receive(limits.read))
        except BaseException:
            connection.close()
            raise
        self._idle.keep(origin, connection)
        return answer

    async def aclose(self) -> None:
        """Close what is kept open."""
        self._idle.close()
        await asyncio.sleep(0)  # asyncio closes sockets in its next round


class _Blocking:
    def __init__(self, sock: socket.socket) -> None:
        self.exchange = _Exchange()
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._piece = memoryview(bytearray(PIECE))  # one for all answers: nothing is allocated for each

    @classmethod
    def to(cls, origin: _Origin, tls: _Tls, seconds: float | None) -> _Blocking:
        scheme, host, port = origin
        sock = socket.create_connection((host, port), seconds)
        try:
            sock.setsockopt(*NODELAY)
            return cls(tls.context.wrap_socket(sock, server_hostname=host) if scheme == "https" else sock)
        except BaseException:
            sock.close()
            raise

    def send(self, data: bytes, seconds: float | None) -> None:
        self._socket.settimeout(seconds)
        rest = memoryview(data)
        while rest:
            rest = rest[self._socket.send(rest) :]

    def receive(self, seconds: float | None) -> memoryview:
        if self._socket.gettimeout() != seconds:
            self._socket.settimeout(seconds)
        return self._piece[: self._socket.recv_into(self._piece)]

    def is_stale(self) -> bool:
        return bool(self._poll.poll(0))

    def close(self) -> None:
        self._socket.close()


class _Streams:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.exchange = _Exchange()
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, origin: _Origin, tls: _Tls, seconds: float | None) -> _Streams:
        scheme, host, port = origin
        context = tls.context if scheme == "https" else None
        async with asyncio.timeout(seconds):
            streams = await asyncio.open_connection(host, port, ssl=context, limit=PIECE, happy_eyeballs_delay=0.25)
        return cls(*streams)

    async def send(self, data: bytes, seconds: float | None) -> None:
        self._writer.write(data)
        async with asyncio.timeout(seconds):
            await self._writer.drain()

    async def receive(self, seconds: float | None) -> bytes:
        async with asyncio.timeout(seconds):
            return await self._reader.read(PIECE)

    def is_stale(self) -> bool:
        # Bytes that nobody asked for are seen by h11, as those of an answer that has begun too soon.
        return self._writer.is_closing() or self._reader.at_eof()

    def close(self) -> None:
        self._writer.transport.abort()


class _Tls:
    """What httpx would use, made when it is needed: it takes a while."""

    _context: ssl.SSLContext | None = None

    @property
    def context(self) -> ssl.SSLContext:
        if self._context is None:
            context = httpx.create_ssl_context()
            context.set_alpn_protocols(["http/1.1"])
            self._context = context
        return self._context


class _Limits:
    """Seconds, each None for any time: httpx has them with the request."""

    def __init__(self, request: httpx.Request) -> None:
        given = request.extensions.get("timeout", {})
        self.connect, self.write, self.read = given.get("connect"), given.get("write"), given.get("read")


def _origin(request: httpx.Request) -> _Origin:
    url = request.url
    if url.scheme not in ("http", "https"):
        raise httpx.UnsupportedProtocol(f"{str(url)!r} is not http and not https")
    return url.scheme, url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)


@contextmanager
def _errors(
    late: Callable[[str], Exception], failed: Callable[[str], Exception], earlier: Exception | None = None
) -> Iterator[None]:
    """What goes wrong with a socket as what httpx calls it; where there was something earlier, as that."""
    try:
        yield
    except TimeoutError as error:
        raise earlier or late(str(error)) from error
    except (OSError, UnicodeError) as error:  # a name that no host can have is the latter
        raise earlier or failed(str(error)) from error
    except httpx.RemoteProtocolError:
        if earlier is not None:
            raise earlier from None
        raise
