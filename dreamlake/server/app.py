"""The ASGI application of a lake: all routes over one storage, one database and one runner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from litestar import Litestar, Request, get
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig

from dreamlake.server.bss.assets import assets_routers
from dreamlake.server.bss.batch import batch_router
from dreamlake.server.bss.chunks import chunk
from dreamlake.server.bss.gc import gc
from dreamlake.server.bss.lambdas import trigger
from dreamlake.server.bss.uploads import multipart_router, put_part
from dreamlake.server.bss.videos import videos_router
from dreamlake.server.catalog.routers import catalog_routers
from dreamlake.server.database import Database
from dreamlake.server.errors import EXCEPTION_HANDLERS
from dreamlake.server.lake import Lake, check_request, load_signer
from dreamlake.server.lambdas.runner import Runner
from dreamlake.server.neighbours import leave_mark
from dreamlake.server.settings import Settings
from dreamlake.server.storage import open_storage

__all__ = ["create_app"]


@get("/healthz", sync_to_thread=False)
def healthz() -> dict[str, str]:
    """The lake is up."""
    return {"status": "ok"}


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """What this application answers, as OpenAPI."""
    return request.app.openapi_schema.to_schema()


def create_app(settings: Settings) -> Litestar:
    """The application of the lake in ``settings.data``; it opens the lake when it starts and closes it at its end."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        await to_thread.run_sync(_make_folder, settings)
        async with open_storage(settings.storage_location, settings.scratch) as storage:
            database = Database(settings.database_url)
            await database.open()
            runner = Runner(database, storage, settings)
            app.state.lake = Lake(settings, storage, database, load_signer(settings.data), runner)
            await leave_mark(storage, settings)
            await runner.start()
            try:
                yield
            finally:
                await runner.stop()
                await database.close()

    def lake() -> Lake:
        opened: Lake = app.state.lake
        return opened

    app = Litestar(
        [
            healthz,
            openapi,
            multipart_router(),
            put_part,
            batch_router(),
            *assets_routers(),
            videos_router(),
            chunk,
            trigger,
            gc,
            *catalog_routers(),
        ],
        dependencies={"lake": Provide(lake, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS,
        before_request=check_request,
        lifespan=[lifespan],
        openapi_config=OpenAPIConfig("Dreamlake", "1", render_plugins=[]),
        request_max_body_size=settings.max_body_bytes,
        logging_config=None,
    )
    return app


def _make_folder(settings: Settings) -> None:
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
