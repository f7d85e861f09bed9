"""``dreamlake serve``: the application over TCP."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import uvicorn

from dreamlake.errors import UsageError
from dreamlake.server.app import create_app
from dreamlake.server.database import Database
from dreamlake.server.settings import Settings
from dreamlake.server.storage import open_storage

__all__ = ["serve"]


def serve(settings: Settings, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve a lake until a signal ends it.

    Args:
        settings: of the lake.
        host: the address to listen on.
        port: of TCP; 0 for one that is free.
        ready: called with the URL when requests are answered.

    Raises:
        UsageError: an address beyond this machine, which needs API keys, or one that cannot be listened on.
        ConfigError: the storage or the database cannot be used.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, and this lake has no API keys: "
            "serve it on 127.0.0.1, and reach it through a tunnel or a proxy that asks who is there"
        )
    asyncio.run(_check(settings))
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    public = urlsplit(settings.public_url or "").hostname
    hosts = frozenset({"localhost", "127.0.0.1", "::1", host, *([public] if public else [])})
    config = uvicorn.Config(
        create_app(replace(settings, hosts=hosts)),
        log_level="warning",
        timeout_graceful_shutdown=5,
        timeout_keep_alive=30,
        server_header=False,
    )
    asyncio.run(_run(_Server(config, lambda: ready(url)), listener))


async def _check(settings: Settings) -> None:
    """Find out what is wrong with a storage in S3 and with a database while it can still be said in one line."""
    if settings.storage is not None:
        async with open_storage(settings.storage, settings.scratch):
            pass
    if settings.database is not None:
        database = Database(settings.database)
        await database.open()
        await database.close()


async def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    await server.serve(sockets=[listener])
    if not server.started:
        raise SystemExit(1)  # uvicorn has logged why the lake did not open


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


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
