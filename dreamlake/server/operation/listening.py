"""A server over TCP: its sockets, its signals, and the clients that are too slow for it."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from dreamlake.errors import UsageError
from dreamlake.server.operation.connections import Connection
from dreamlake.server.operation.front import ASGIApp, Front
from dreamlake.server.operation.metrics import RequestMetrics
from dreamlake.server.settings import Limits

__all__ = ["TcpServer", "file_handles", "is_loopback", "listen", "run", "url_of"]

MANY_FILES = 65_536
TICKS = 10  # of uvicorn's, between two looks for slow clients


class TcpServer(uvicorn.Server):
    """An application over TCP, with all limits on its clients.

    Args:
        app: the application.
        settings: the limits.
        metrics: that count the requests.
        ready: called when requests are answered.
    """

    def __init__(self, app: ASGIApp, settings: Limits, metrics: RequestMetrics, ready: Callable[[], None]) -> None:
        connection: Any = partial(Connection, settings=settings, metrics=metrics)
        grace: Any = settings.grace_seconds  # a float does as well as the integer that uvicorn declares
        super().__init__(
            uvicorn.Config(
                Front(app, settings, metrics),
                http=connection,
                ws="none",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=grace,
                timeout_keep_alive=max(1, round(settings.idle_seconds)),
                h11_max_incomplete_event_size=settings.max_header_bytes + settings.max_url_bytes,
                server_header=False,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the application, and listen."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Look after slow clients."""
        if counter % TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in [one for one in self.server_state.connections if isinstance(one, Connection)]:
                connection.check(now)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks for an end, and the second one is the end: what is served is made to bear that."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            os.kill(os.getpid(), sig)
        super().handle_exit(sig, frame)


async def run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until a signal ends it.

    Raises:
        SystemExit: it could not begin; the log says why.
    """
    await server.serve(sockets=[listener])
    if not server.started:
        raise SystemExit(1)  # uvicorn has logged why the application did not open


def url_of(host: str, listener: socket.socket) -> str:
    """The URL of what listens there."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def file_handles() -> int:
    """How many files this process may have open, after asking for as many as it may get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # a system may have another bound, of which it says nothing here
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MANY_FILES if soft == resource.RLIM_INFINITY else soft


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UsageError: it cannot.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    # asyncio does this only for sockets it has made itself; without it every small answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
