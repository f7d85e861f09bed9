"""Whether the server is alive, whether it can serve, and what it has counted."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

from anyio import to_thread
from litestar import Request, Response, Router, get
from msgspec import Struct
from sqlalchemy import text

from dreamlake.server.access import ADMIN, ANYONE
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake

__all__ = ["health_router", "metrics_page"]

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
_NOTHING = f"chunks/{'0' * 16}.ts"  # a key that an object may have, and whose absence is an answer


class Health(Struct):
    """It is well."""

    status: str = "ok"


@get("/healthz")
async def healthz() -> Health:
    """The process is alive."""
    return Health()


@get("/readyz")
async def readyz(lake: OpenLake) -> Health:
    """The lake can serve: its database and its storage answer, the disk has room, and jobs are executed."""
    checks = {"the database": _ask_database, "the storage": _ask_storage, "the disk": _check_disk}
    answers = await asyncio.gather(*(_reason(name, check, lake) for name, check in checks.items()))
    reasons = [reason for reason in answers if reason is not None]
    if not lake.runner.alive:
        reasons.append("no jobs are executed")
    if reasons:
        raise Refused(503, "; ".join(reasons), {"Retry-After": "5"})
    return Health()


@get("/metrics", media_type="text/plain", opt=ADMIN)
async def metrics_page(request: Request[Any, Any, Any], lake: OpenLake) -> Response[bytes]:
    """What the server has counted, in the text format of Prometheus."""
    counted = request.state.metrics
    if counted is None:
        raise Refused(404, "an embedded lake counts nothing")
    return Response(await counted.page(lake.database), headers={"Content-Type": "text/plain; version=0.0.4"})


def health_router() -> Router:
    """What anybody may ask, under any name of this machine: an orchestrator has no key, and asks for an address."""
    return Router("/", route_handlers=[healthz, readyz], before_request=_let_in)


async def _let_in(request: Request[Any, Any, Any]) -> None:
    request.state.caller = ANYONE


async def _reason(name: str, check: Callable[[Lake], Awaitable[str | None]], lake: Lake) -> str | None:
    """Why it is not well, without what only the log may say."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check(lake)
    except TimeoutError:
        return f"{name} does not answer"
    except Exception:
        log.exception("%s is not well", name)
        return f"{name} fails"


async def _ask_database(lake: Lake) -> None:
    async with lake.database.read() as connection:
        await connection.execute(text("SELECT 1"))


async def _ask_storage(lake: Lake) -> None:
    await lake.storage.size(_NOTHING)


async def _check_disk(lake: Lake) -> str | None:
    free = (await to_thread.run_sync(shutil.disk_usage, lake.settings.data)).free
    if free < lake.settings.min_free_bytes:
        return f"the disk has {free // 1024**2} MiB left"
    return None
