"""``dreamlake engine serve``: an engine over TCP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace

from dreamlake.errors import UsageError
from dreamlake.server.engine.app import Engine, create_engine
from dreamlake.server.engine.metrics import EngineMetrics
from dreamlake.server.engine.models import Served
from dreamlake.server.engine.settings import EngineSettings
from dreamlake.server.engine.store import Store
from dreamlake.server.operation.listening import TcpServer, file_handles, is_loopback, listen, run, url_of
from dreamlake.server.operation.logs import LogFormat, start_logging

__all__ = ["EngineServer", "serve_engine"]


def serve_engine(
    settings: EngineSettings,
    models: Sequence[Served],
    host: str,
    port: int,
    ready: Callable[[str], None],
    *,
    log_format: LogFormat | None = None,
    log_level: str = "info",
) -> None:
    """Serve an engine until a signal ends it.

    Args:
        settings: of the engine.
        models: that it serves.
        host: the address to listen on.
        port: of TCP; 0 for one that is free.
        ready: called with the URL when requests are answered.
        log_format: None for text on a terminal, and JSON elsewhere.
        log_level: the least that is written.

    Raises:
        UsageError: an address beyond this machine without an API key, or one that cannot be listened on.
        ConfigError: the folder cannot be used, or a model not be served.
    """
    start_logging(log_format, log_level)
    alone = is_loopback(host)
    if not alone and not settings.keys:
        raise UsageError(
            f"{host} can be reached from other machines: give the engine an API key (--api-key, or DREAM_ENGINE_KEYS), "
            "or serve it on 127.0.0.1"
        )
    Store(
        settings.data, settings.answer_bytes, settings.answer_seconds
    ).close()  # what is wrong with it is said in one line
    listener = listen(host, port)
    hosts = frozenset({"localhost", "127.0.0.1", "::1", host}) if alone else None
    settings = replace(settings, hosts=hosts, max_connections=min(settings.max_connections, file_handles() // 2))
    url = url_of(host, listener)
    asyncio.run(run(EngineServer(settings, models, url, lambda: ready(url)), listener))


class EngineServer(TcpServer):
    """The application of an engine over TCP.

    Args:
        settings: of the engine.
        models: that it serves.
        url: under which it is served.
        ready: called when requests are answered.
    """

    def __init__(self, settings: EngineSettings, models: Sequence[Served], url: str, ready: Callable[[], None]) -> None:
        metrics = EngineMetrics()
        self.app = create_engine(settings, models, metrics)
        super().__init__(self.app, settings, metrics, ready)
        # Jobs ask as clients do; an address that means any is reached at one.
        self._url = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and begin with jobs, which ask this engine themselves."""
        await super().startup(sockets)
        if self.started:
            engine: Engine = self.app.state.engine
            engine.jobs.base_url = self._url
            engine.jobs.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Bring jobs to rest while they are still answered; then let requests come to their end, and accept no more."""
        engine: Engine = self.app.state.engine
        await engine.jobs.stop()
        await super().shutdown(sockets)
