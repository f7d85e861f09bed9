"""``dreamlake serve``: the application over TCP."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import resource
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from dreamlake.errors import UsageError
from dreamlake.server.access import any_keys
from dreamlake.server.app import create_app
from dreamlake.server.database import Database
from dreamlake.server.lake import Lake
from dreamlake.server.operation.connections import Connection
from dreamlake.server.operation.front import Front
from dreamlake.server.operation.logs import LogFormat, start_logging
from dreamlake.server.operation.metrics import Metrics
from dreamlake.server.settings import Settings
from dreamlake.server.storage import open_storage

__all__ = ["Server", "serve"]

MANY_FILES = 65_536
TICKS = 10  # of uvicorn's, between two looks for slow clients


def serve(
    settings: Settings,
    host: str,
    port: int,
    ready: Callable[[str], None],
    *,
    log_format: LogFormat | None = None,
    log_level: str = "info",
) -> None:
    """Serve a lake until a signal ends it.

    Args:
        settings: of the lake.
        host: the address to listen on.
        port: of TCP; 0 for one that is free.
        ready: called with the URL when requests are answered.
        log_format: None for text on a terminal, and JSON elsewhere.
        log_level: the least that is written.

    Raises:
        UsageError: an address beyond this machine while there is no API key, or one that cannot be listened on.
        ConfigError: the storage or the database cannot be used.
    """
    start_logging(log_format, log_level)
    alone = _is_loopback(host)
    has_keys = asyncio.run(_check(settings))
    if not alone and not has_keys:
        raise UsageError(
            f"{host} can be reached from other machines, and this lake has no API keys: make one with "
            "`dreamlake keys create`, or serve it on 127.0.0.1"
        )
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    public = urlsplit(settings.public_url or "").hostname
    # Who has to show a key cannot be a page that has its own name lead here.
    hosts = frozenset({"localhost", "127.0.0.1", "::1", host, *([public] if public else [])}) if alone else None
    settings = replace(
        settings,
        hosts=hosts,
        keys="if there are keys" if alone else "always",
        max_connections=min(settings.max_connections, _file_handles() // 2),
    )
    asyncio.run(_run(Server(settings, lambda: ready(url)), listener))


async def _check(settings: Settings) -> bool:
    """Find out what is wrong with storage and database while one line can still say it; whether there are keys."""
    settings.make_folder()
    if settings.storage is not None:
        async with open_storage(settings.storage, settings.scratch):
            pass
    database = Database(settings.database_url)
    try:
        await database.open()
        return await any_keys(database)
    finally:
        await database.close()


async def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    await server.serve(sockets=[listener])
    if not server.started:
        raise SystemExit(1)  # uvicorn has logged why the lake did not open


class Server(uvicorn.Server):
    """The application of a lake over TCP, with all limits on its clients.

    Args:
        settings: of the lake.
        ready: called when requests are answered.
    """

    def __init__(self, settings: Settings, ready: Callable[[], None]) -> None:
        metrics = Metrics()
        self.app = create_app(settings, metrics)
        connection: Any = partial(Connection, settings=settings, metrics=metrics)
        grace: Any = settings.grace_seconds  # a float does as well as the integer that uvicorn declares
        super().__init__(
            uvicorn.Config(
                Front(self.app, settings, metrics),
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
        """Open the lake, and listen."""
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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more; let requests and jobs come to an end, both within the same grace."""
        lake: Lake = self.app.state.lake
        lake.runner.drain()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks for an end, and the second one is the end: the lake is made to bear that."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            os.kill(os.getpid(), sig)
        super().handle_exit(sig, frame)


def _file_handles() -> int:
    """How many files this process may have open, after asking for as many as it may get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # a system may have another bound, of which it says nothing here
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MANY_FILES if soft == resource.RLIM_INFINITY else soft


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    # asyncio does this only for sockets it has made itself; without it every small answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
