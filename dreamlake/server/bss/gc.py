"""Collecting what nothing refers to any more, when somebody asks for it."""

from __future__ import annotations

from typing import Annotated

from litestar import post
from litestar.params import QueryParameter

from dreamlake.core.wireupkeep import GcReport
from dreamlake.server.access import ADMIN
from dreamlake.server.gc import collect
from dreamlake.server.lake import OpenLake

__all__ = ["gc"]


@post("/gc", status_code=200, opt=ADMIN)
async def gc(lake: OpenLake, dry_run: Annotated[bool, QueryParameter(name="dryRun")] = False) -> GcReport:
    """Delete what nothing refers to and nobody has used for a day; it may take minutes."""
    lake.alone()
    return await collect(lake, dry_run=dry_run)
