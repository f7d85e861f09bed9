"""Namespaces, their spaces and the episodes of these: lists, and making one."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody
from sqlalchemy import ColumnElement, Table, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.targets import check_slug
from dreamlake.core.wirecatalog import CreateNamed, Named, NamedItems
from dreamlake.server.catalog.paging import Cursor, Limit, page_size, read_cursor, write_cursor
from dreamlake.server.catalog.place import AskedOwner, Place, scope_of
from dreamlake.server.catalog.tree import ensure_project, upsert
from dreamlake.server.lake import Lake, OpenLake
from dreamlake.server.schema import episodes, namespaces, projects
from dreamlake.server.sidecar import timestamp

__all__ = ["SPACES"]

_THERE = {200: ResponseSpec(Named, description="It was there already", generate_examples=False)}


@get("/namespaces")
async def list_namespaces(lake: OpenLake, limit: Limit = 100, cursor: Cursor = None) -> NamedItems:
    """The namespaces of the lake, in the order of their names."""
    own = lake.caller.namespace
    which = [] if own is None else [namespaces.c.slug == own]
    return await _list(lake, namespaces, namespaces.c.slug, which, limit, cursor)


@post("/namespaces", responses=_THERE)
async def create_namespace(data: JSONBody[CreateNamed], lake: OpenLake) -> Response[Named]:
    """Make a namespace, if there is none of that name."""
    lake.caller.admit(data.name)
    async with lake.database.write() as connection:
        known = await _find(connection, namespaces, namespaces.c.slug == data.name)
        if known is None:
            await upsert(connection, namespaces, {"slug": data.name})
        return await _answer(connection, namespaces, namespaces.c.slug == data.name, known)


@get("/namespaces/{namespace:str}/spaces")
async def list_spaces(lake: OpenLake, owner: AskedOwner, limit: Limit = 100, cursor: Cursor = None) -> NamedItems:
    """The spaces of a namespace, in the order of their names."""
    inside = projects.c.namespace_id == select(namespaces.c.id).where(namespaces.c.slug == owner).scalar_subquery()
    return await _list(lake, projects, projects.c.slug, [inside], limit, cursor)


@post("/namespaces/{namespace:str}/spaces", responses=_THERE)
async def create_space(data: JSONBody[CreateNamed], lake: OpenLake, owner: AskedOwner) -> Response[Named]:
    """Make a space, and its namespace, if there is none of that name."""
    async with lake.database.write() as connection:
        known = await scope_of(connection, Place(owner, data.name, ""))
        project_id, _ = await ensure_project(connection, owner, data.name, None, {})
        return await _answer(connection, projects, projects.c.id == project_id, known)


@get("/namespaces/{namespace:str}/spaces/{space:str}/episodes")
async def list_episodes(
    lake: OpenLake, owner: AskedOwner, space: FromPath[str], limit: Limit = 100, cursor: Cursor = None
) -> NamedItems:
    """The episodes of a space, in the order of their names."""
    async with lake.database.read() as connection:
        found = await scope_of(connection, Place(owner, check_slug(space, "a space"), ""))
    if found is None:
        return NamedItems([])
    return await _list(lake, episodes, episodes.c.name, [episodes.c.project_id == found[0]], limit, cursor)


@post("/namespaces/{namespace:str}/spaces/{space:str}/episodes", responses=_THERE)
async def create_episode(
    data: JSONBody[CreateNamed], lake: OpenLake, owner: AskedOwner, space: FromPath[str]
) -> Response[Named]:
    """Make an episode, and its space and namespace, if there is none of that name."""
    check_slug(space, "a space")
    async with lake.database.write() as connection:
        known = await scope_of(connection, Place(owner, space, data.name))
        _, episode_id = await ensure_project(connection, owner, space, data.name, {})
        return await _answer(connection, episodes, episodes.c.id == episode_id, known)


SPACES = (list_namespaces, create_namespace, list_spaces, create_space, list_episodes, create_episode)


async def _list(
    lake: Lake, table: Table, name: Any, which: list[ColumnElement[bool]], limit: int, cursor: str | None
) -> NamedItems:
    keys = read_cursor(cursor, 1)
    after = [] if keys is None else [name > keys[0]]
    query = select(table.c.id, name.label("name"), table.c.created_at).where(and_(True, *which, *after))
    async with lake.database.read() as connection:
        rows = (await connection.execute(query.order_by(name).limit(page_size(limit) + 1))).all()
    items = [Named(row.id, row.name, timestamp(row.created_at)) for row in rows[: page_size(limit)]]
    return NamedItems(items, write_cursor(items[-1].name) if len(rows) > len(items) else None)


async def _find(connection: AsyncConnection, table: Table, which: ColumnElement[bool]) -> Any:
    return (await connection.execute(select(table).where(which))).first()


async def _answer(
    connection: AsyncConnection, table: Table, which: ColumnElement[bool], known: object
) -> Response[Named]:
    row = await _find(connection, table, which)
    name = row.name if table is episodes else row.slug
    return Response(Named(row.id, name, timestamp(row.created_at)), status_code=201 if known is None else 200)
