"""Listing and finding: assets and nodes by place, prefix, kind and pattern, by path and by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from litestar import get
from litestar.params import FromQuery, QueryParameter
from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.ids import is_object_id
from dreamlake.core.kinds import KINDS
from dreamlake.core.wirecatalog import FOLDER, AssetItems, Node, NodeKind, Nodes
from dreamlake.server.catalog.paging import Cursor, Limit, like, page_size, path_in, read_cursor, write_cursor
from dreamlake.server.catalog.place import AskedNode, AskedPlace, Place, scope_of
from dreamlake.server.catalog.rows import Found, as_item, as_node, newest_nodes, or_itself
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake
from dreamlake.server.routing import AssetKind
from dreamlake.server.schema import assets, bss_assets, nodes

__all__ = ["LISTING", "assets_of_kind"]

BssId = Annotated[str | None, QueryParameter(name="bssId", description="only the names of this asset")]
Pattern = Annotated[
    str | None,
    QueryParameter(description="a part of the name, or a pattern with * and ?; with a / in it, of the whole path"),
]


@get("/")
async def assets_of_kind(
    lake: OpenLake,
    kind: AssetKind,
    place: AskedPlace,
    prefix: FromQuery[str | None] = None,
    pattern: Pattern = None,
    bss_id: BssId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> AssetItems:
    """The assets of a kind in a space, in the order of their paths.

    Without ``episode`` those of its episodes too; with an empty one those outside of all episodes alone.
    """
    which = _assets(prefix, pattern, bss_id, [kind.name])
    rows, following = await _page(lake, place, which, limit, cursor)
    return AssetItems([as_item(row) for row in rows], following)


@get("/assets")
async def assets_of_any_kind(
    lake: OpenLake,
    place: AskedPlace,
    prefix: FromQuery[str | None] = None,
    pattern: Pattern = None,
    bss_id: BssId = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> AssetItems:
    """The same of assets of any kind."""
    which = _assets(prefix, pattern, bss_id, [kind.name for kind in KINDS])
    rows, following = await _page(lake, place, which, limit, cursor)
    return AssetItems([as_item(row) for row in rows], following)


@get("/nodes")
async def nodes_of_place(
    lake: OpenLake,
    place: AskedPlace,
    prefix: FromQuery[str | None] = None,
    kind: FromQuery[NodeKind | None] = None,
    pattern: Pattern = None,
    recursive: FromQuery[bool] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Nodes:
    """What lies in a folder, and with ``recursive`` everything below it, in the order of the paths.

    A prefix that names an asset gives that asset. Without ``episode`` it is the folder outside of all episodes, and
    with ``recursive`` that of all episodes too.
    """
    path = path_in(prefix)
    which = _matching(pattern, [] if kind is None else [kind])
    if recursive:
        if path != "/":
            which += [or_itself(path), (nodes.c.path != path) | (nodes.c.kind != FOLDER)]
    else:
        place = Place(place.namespace, place.space, place.episode or "")
        async with lake.database.read(quick=True) as connection:
            there = await _node_at(connection, place, path)
        if path != "/" and there is None:
            return Nodes([])
        which.append(nodes.c.path == path if there is not None and there.kind != FOLDER else _inside(there))
    rows, following = await _page(lake, place, which, limit, cursor)
    return Nodes([as_node(row) for row in rows], following)


@get("/nodes/lookup")
async def lookup(lake: OpenLake, place: AskedPlace, path: FromQuery[str]) -> Node:
    """What lies at a path: a folder, or the newest asset."""
    name = path_in(path)
    async with lake.database.read(quick=True) as connection:
        row = await _node_at(connection, Place(place.namespace, place.space, place.episode or ""), name)
    if row is None:
        raise Refused(404, f"there is nothing at {name} in {place}")
    return as_node(row)


@get("/nodes/{node_id:str}")
async def node_by_id(node: AskedNode) -> Node:
    """A node by its id, or an episode."""
    return as_node(node)


@get("/nodes/{node_id:str}/children")
async def children(lake: OpenLake, node: AskedNode, limit: Limit = 100, cursor: Cursor = None) -> Nodes:
    """What lies in a folder, or in the root of an episode, in the order of the names."""
    episode = node.kind is None
    parent: ColumnElement[bool] = nodes.c.parent_id.is_(None) if episode else nodes.c.parent_id == node.id
    keys = read_cursor(cursor, 2)
    which = [nodes.c.scope == node.scope, parent]
    async with lake.database.read() as connection:
        rows, following = await _rows(connection, which, node.scope, limit, keys)
    return Nodes([as_node(row) for row in rows], following)


LISTING = (assets_of_any_kind, nodes_of_place, lookup, node_by_id, children)


def _assets(
    prefix: str | None, pattern: str | None, bss_id: str | None, kinds: Sequence[str]
) -> list[ColumnElement[bool]]:
    which = _matching(pattern, kinds)
    path = path_in(prefix)
    if path != "/":
        which.append(or_itself(path))
    if bss_id is not None:
        if not is_object_id(bss_id):
            raise Refused(400, f"{bss_id!r} is not an ObjectId (24 hex digits)")
        which += [bss_assets.c.id == bss_id, nodes.c.id.in_(select(assets.c.node_id).where(assets.c.bss_id == bss_id))]
    return which


def _matching(pattern: str | None, kinds: Sequence[str]) -> list[ColumnElement[bool]]:
    which: list[ColumnElement[bool]] = []
    if kinds:
        which.append(nodes.c.kind.in_(kinds))
    if pattern:
        column = nodes.c.path if "/" in pattern else nodes.c.name
        which.append(column.ilike(like(pattern), escape="\\"))
    return which


def _inside(folder: Found | None) -> ColumnElement[bool]:
    return nodes.c.parent_id.is_(None) if folder is None else nodes.c.parent_id == folder.id


async def _node_at(connection: AsyncConnection, place: Place, path: str) -> Found | None:
    found = await scope_of(connection, place)
    if found is None or path == "/":
        return None
    return (await connection.execute(newest_nodes(nodes.c.scope == found[1], nodes.c.path == path))).first()


async def _page(
    lake: Lake, place: Place, which: Sequence[ColumnElement[bool]], limit: int, cursor: str | None
) -> tuple[Sequence[Found], str | None]:
    keys = read_cursor(cursor, 2)
    async with lake.database.read() as connection:
        found = await scope_of(connection, place)
        if found is None:
            return [], None  # what is not there yet is as empty as what holds nothing, and tells nothing of others
        project, scope = found
        where = nodes.c.project_id == project if scope is None else nodes.c.scope == scope
        return await _rows(connection, [where, *which], scope, limit, keys)


async def _rows(
    connection: AsyncConnection,
    which: Sequence[ColumnElement[bool]],
    scope: str | None,
    limit: int,
    keys: Sequence[str] | None,
) -> tuple[Sequence[Found], str | None]:
    query = newest_nodes(*which).limit(page_size(limit) + 1)
    if keys is not None:
        after: Any = nodes.c.path > keys[1]
        if scope is None:
            after = tuple_(nodes.c.scope, nodes.c.path) > tuple_(*keys)
        query = query.where(after)
    order = [nodes.c.path] if scope is not None else [nodes.c.scope, nodes.c.path]
    rows = (await connection.execute(query.order_by(*order))).all()
    if len(rows) <= page_size(limit):
        return rows, None
    last = rows[page_size(limit) - 1]
    return rows[: page_size(limit)], write_cursor(last.scope, last.path)
