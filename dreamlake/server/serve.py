"""``dreamlake serve``: the application over TCP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

from dreamlake.errors import UsageError
from dreamlake.server.access import any_keys
from dreamlake.server.app import LakeApp
from dreamlake.server.database import Database
from dreamlake.server.operation.listening import TcpServer, file_handles, is_loopback, listen, run, url_of
from dreamlake.server.operation.logs import LogFormat, start_logging
from dreamlake.server.operation.metrics import Metrics
from dreamlake.server.settings import Settings
from dreamlake.server.storage import open_storage

__all__ = ["Server", "serve"]


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
    alone = is_loopback(host)
    has_keys = asyncio.run(_check(settings))
    if not alone and not has_keys:
        raise UsageError(
            f"{host} can be reached from other machines, and this lake has no API keys: make one with "
            "`dreamlake keys create`, or serve it on 127.0.0.1"
        )
    listener = listen(host, port)
    url = url_of(host, listener)
    public = urlsplit(settings.public_url or "").hostname
    # Who has to show a key cannot be a page that has its own name lead here.
    hosts = frozenset({"localhost", "127.0.0.1", "::1", host, *([public] if public else [])}) if alone else None
    settings = replace(
        settings,
        hosts=hosts,
        keys="if there are keys" if alone else "always",
        max_connections=min(settings.max_connections, file_handles() // 2),
    )
    asyncio.run(run(Server(settings, lambda: ready(url)), listener))


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


class Server(TcpServer):
    """The application of a lake over TCP, with all limits on its clients.

    Args:
        settings: of the lake.
        ready: called when requests are answered.
    """

    def __init__(self, settings: Settings, ready: Callable[[], None]) -> None:
        metrics = Metrics()
        self.app = LakeApp(settings, metrics)
        super().__init__(self.app, settings, metrics, ready)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more; let requests and jobs come to an end, both within the same grace."""
        self.app.lake.runner.drain()
        await super().shutdown(sockets)
