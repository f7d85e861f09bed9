"""The ASGI application of a lake: all routes over one storage, one database and one runner.

The routes know no lake. Each request brings its own, in its state, so all lakes of a process share them: to make them
takes longer than to open a lake.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from anyio import to_thread
from litestar import Litestar, Request, Response, get
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from sqlalchemy import select

from dreamlake.server.access import PUBLIC, Access
from dreamlake.server.bss.assets import assets_routers
from dreamlake.server.bss.batch import batch_router
from dreamlake.server.bss.chunks import chunk
from dreamlake.server.bss.gc import gc
from dreamlake.server.bss.lambdas import trigger
from dreamlake.server.bss.streams import streams_routers
from dreamlake.server.bss.uploads import multipart_router, put_part
from dreamlake.server.bss.versions import versions_routers
from dreamlake.server.bss.videos import indexes_routers
from dreamlake.server.catalog.keys import keys_router
from dreamlake.server.catalog.orphans import orphans_router
from dreamlake.server.catalog.routers import catalog_routers
from dreamlake.server.database import Database
from dreamlake.server.errors import EXCEPTION_HANDLERS
from dreamlake.server.lake import Lake, check_request
from dreamlake.server.lambdas.runner import Runner
from dreamlake.server.neighbours import leave_mark
from dreamlake.server.openapi import describe
from dreamlake.server.operation.health import health_router, metrics_page
from dreamlake.server.operation.transfers import Transfers
from dreamlake.server.schema import lakes
from dreamlake.server.settings import Settings
from dreamlake.server.signingkeys import SigningKeys
from dreamlake.server.storage import open_storage
from dreamlake.server.vectors.indexes import Indexes
from dreamlake.server.vectors.routes import vectors_router

if TYPE_CHECKING:
    from dreamlake.server.operation.metrics import Metrics

__all__ = ["LakeApp", "routes"]


@get("/openapi.json", opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
def openapi(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What this application answers, as OpenAPI."""
    return Response(_described(request.app), media_type="application/json")


@cache  # it takes long to write down, and never changes
def _described(app: Litestar) -> bytes:
    return msgspec.json.encode(describe(app))


@cache
def routes(max_body_bytes: int) -> Litestar:
    """All that a lake answers, for the lake in the state of each request.

    Args:
        max_body_bytes: the largest body that is taken.
    """

    def lake(request: Request[Any, Any, Any]) -> Lake:
        opened: Lake = request.state.lake
        return replace(opened, caller=request.state.caller)

    return Litestar(
        [
            health_router(),
            metrics_page,
            openapi,
            multipart_router(),
            put_part,
            batch_router(),
            *assets_routers(),
            *indexes_routers(),
            *streams_routers(),
            *versions_routers(),
            chunk,
            trigger,
            gc,
            *catalog_routers(),
            keys_router(),
            orphans_router(),
            vectors_router(),
        ],
        dependencies={"lake": Provide(lake, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS,
        before_request=check_request,
        openapi_config=OpenAPIConfig("Dreamlake", "1", render_plugins=[]),
        request_max_body_size=max_body_bytes,
        logging_config=None,
    )


class LakeApp:
    """The application of the lake in ``settings.data``; it opens the lake when it starts and closes it at its end.

    Args:
        settings: of the lake.
        metrics: that count what it does; None for a lake that nobody asks for them.

    Attributes:
        lake: once it is open.
    """

    lake: Lake

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._routes = routes(settings.max_body_bytes)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or live from the start to the end of a server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        scope["state"] = {**scope.get("state", {}), "lake": self.lake, "metrics": self._metrics}
        await self._routes(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """The lake is open while the block runs."""
        settings = self._settings
        await to_thread.run_sync(settings.make_folder)
        async with open_storage(settings.storage_location, settings.scratch) as storage:
            database = Database(settings.database_url)
            await database.open()
            runner = Runner(database, storage, settings, self._metrics)
            signing = SigningKeys(database, settings.url_seconds)
            await signing.load()
            async with database.read() as connection:
                identity = (await connection.execute(select(lakes.c.identity))).scalar_one()
            access = Access(database, settings.keys)
            transfers = Transfers(settings.max_transfers, self._metrics)
            vectors = Indexes(storage, database, settings)
            self.lake = Lake(settings, storage, database, signing, runner, transfers, access, vectors, identity)
            learning = asyncio.create_task(signing.keep_fresh())
            await leave_mark(storage, settings, identity)
            await runner.start()
            try:
                yield
            finally:
                learning.cancel()
                await runner.stop()
                await vectors.close()
                await database.close()

    async def _live(self, receive: Any, send: Any) -> None:
        """The lifespan protocol of ASGI."""
        await receive()
        began = False
        try:
            async with self.lifespan():
                began = True
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except BaseException as error:
            await send({"type": f"lifespan.{'shutdown' if began else 'startup'}.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})
