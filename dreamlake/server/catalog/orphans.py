"""Where the storage service and the catalog disagree: assets without a name, and names without an asset.

An upload registers with one and then with the other (seed 2), and whoever does it can end in between. What is only
under way is left alone: an orphan is as old as the longest upload may pause between the two.
"""

from __future__ import annotations

import time
from typing import Any

from litestar import Router, get, post
from litestar.params import FromQuery
from sqlalchemy import Select, delete, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.kinds import kind_named
from dreamlake.core.wireupkeep import Orphan, OrphansFound, Repaired
from dreamlake.server.catalog.assets import Naming, name_asset
from dreamlake.server.catalog.tree import hold_tree
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake
from dreamlake.server.schema import assets, bss_assets, namespaces, nodes, projects

__all__ = ["orphans_router"]

SETTLED_SECONDS = 600.0  # after it was made, an asset is registered everywhere or will not be
MAX_PAGE = 1000


@get("/orphans")
async def orphans(lake: OpenLake, limit: FromQuery[int] = 100) -> OrphansFound:
    """Assets that no name leads to, and names that lead to no asset, some of each."""
    limit = max(1, min(limit, MAX_PAGE))
    async with lake.database.read() as connection:
        unnamed = (await connection.execute(_unnamed(lake).limit(limit))).all()
        empty = (await connection.execute(_empty(lake).limit(limit))).all()
    return OrphansFound(
        [Orphan(row.id, row.kind, row.owner, row.project, row.name) for row in unnamed],
        [Orphan(row.bss_id, row.kind, row.slug, row.project, row.path) for row in empty],
    )


@post("/orphans/repair", status_code=200)
async def repair(lake: OpenLake, limit: FromQuery[int] = 100) -> Repaired:
    """Name the assets that have no name as they were called when they were registered, and forget the empty names."""
    limit = max(1, min(limit, MAX_PAGE))
    problems: list[str] = []
    named = 0
    async with lake.database.read() as connection:
        unnamed = (await connection.execute(_unnamed(lake).limit(limit))).all()
        empty = (await connection.execute(_empty(lake).limit(limit))).all()
    for row in unnamed:
        try:
            async with lake.database.write() as connection:
                if await connection.scalar(select(assets.c.id).where(assets.c.bss_id == row.id).limit(1)) is not None:
                    continue  # somebody has just named it
                naming = Naming(row.owner, row.project, None, row.name, row.id, {})
                await name_asset(connection, lake, "", kind_named(row.kind), naming, {})
            named += 1
        except Refused as refused:
            problems.append(f"{row.name} in {row.owner}@{row.project}: {refused.detail}")
    for row in empty:
        async with lake.database.write() as connection:
            await hold_tree(connection, row.project_id, alone=True)
            await _forget(connection, row)
    return Repaired(named, len(empty), problems)


def orphans_router() -> Router:
    """The routes about orphans."""
    return Router("/", route_handlers=[orphans, repair])


def _unnamed(lake: Lake) -> Select[Any]:
    query = select(bss_assets).where(
        ~exists().where(assets.c.bss_id == bss_assets.c.id), bss_assets.c.created_at < time.time() - SETTLED_SECONDS
    )
    if lake.caller.namespace is not None:
        query = query.where(bss_assets.c.owner == lake.caller.namespace)
    return query.order_by(bss_assets.c.id)


def _empty(lake: Lake) -> Select[Any]:
    tables = (
        assets.join(nodes, nodes.c.id == assets.c.node_id)
        .join(projects, projects.c.id == nodes.c.project_id)
        .join(namespaces, namespaces.c.id == projects.c.namespace_id)
    )
    columns = (assets.c.id, assets.c.node_id, assets.c.bss_id, assets.c.kind, nodes.c.path, nodes.c.project_id)
    query = (
        select(*columns, namespaces.c.slug, projects.c.slug.label("project"))
        .select_from(tables)
        # A lake without any asset is the catalog of another one's.
        .where(exists(select(bss_assets.c.id)))
        .where(~exists().where(bss_assets.c.id == assets.c.bss_id), assets.c.created_at < time.time() - SETTLED_SECONDS)
    )
    if lake.caller.namespace is not None:
        query = query.where(namespaces.c.slug == lake.caller.namespace)
    return query.order_by(assets.c.id)


async def _forget(connection: AsyncConnection, row: Any) -> None:
    """Take a name away, and its node where it was the only thing there. Folders stay."""
    await connection.execute(delete(assets).where(assets.c.id == row.id))
    left = exists().where(assets.c.node_id == nodes.c.id)
    await connection.execute(delete(nodes).where(nodes.c.id == row.node_id, ~left))
