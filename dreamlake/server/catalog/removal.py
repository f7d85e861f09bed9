"""Taking names away, and what has no other name: its record in the storage service, and then its objects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from litestar import delete
from litestar.params import FromQuery
from sqlalchemy import ColumnElement, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.wirecatalog import FOLDER
from dreamlake.server.catalog.place import AskedNode, find_node
from dreamlake.server.catalog.rows import Found, below
from dreamlake.server.catalog.tree import hold_tree
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake
from dreamlake.server.schema import assets, bss_assets, namespaces, nodes, projects
from dreamlake.server.sidecar import Asset, remove_objects
from dreamlake.server.taskpool import TaskPool

__all__ = ["remove_asset", "remove_node"]

PAGE = 500  # names that go in one transaction
AT_ONCE = 8


@delete("/nodes/{node_id:str}")
async def remove_node(lake: OpenLake, node: AskedNode, recursive: FromQuery[bool] = False) -> None:
    """Delete what lies at a path: all versions of an asset, or a folder; with what is in it only if ``recursive``.

    An asset that has another name too keeps it, and its bytes.
    """
    if node.kind is None:
        raise Refused(400, f"{node.path} is an episode, which cannot be deleted")
    while True:
        async with lake.database.write() as connection:
            await hold_tree(connection, node.project_id, alone=True)
            node = await find_node(connection, node.id)  # where it is now, since nothing else moves here any more
            left, unnamed = await _remove_some(connection, node, recursive=recursive)
        await _remove_all_objects(lake, unnamed)
        if not left:
            return


async def remove_asset(lake: Lake, asset: Asset) -> None:
    """Delete an asset of the storage service, and its names in its space. Chunks may be another asset's too."""
    async with lake.database.write() as connection:
        query = select(projects.c.id).join(namespaces, namespaces.c.id == projects.c.namespace_id)
        query = query.where(namespaces.c.slug == asset.owner, projects.c.slug == asset.project)
        project_id = await connection.scalar(query)
        if project_id is not None:
            await hold_tree(connection, project_id, alone=True)
            named = select(assets.c.node_id).join(nodes, nodes.c.id == assets.c.node_id)
            named = named.where(assets.c.bss_id == asset.id, nodes.c.project_id == project_id)
            where = list((await connection.scalars(named)).all())
            await connection.execute(assets.delete().where(assets.c.bss_id == asset.id, assets.c.node_id.in_(where)))
            other = select(assets.c.node_id).where(assets.c.node_id == nodes.c.id)
            await connection.execute(nodes.delete().where(nodes.c.id.in_(where), ~other.exists()))
        await connection.execute(bss_assets.delete().where(bss_assets.c.id == asset.id))
    await remove_objects(lake.storage, asset)


async def _remove_some(connection: AsyncConnection, node: Found, *, recursive: bool) -> tuple[bool, list[Asset]]:
    """Take some of the names away; whether there are more, and the assets that are deleted with them."""
    which = nodes.c.id == node.id
    if node.kind == FOLDER:
        which = (nodes.c.scope == node.scope) & below(node.path)
        if not recursive and await connection.scalar(select(nodes.c.id).where(which).limit(1)) is not None:
            raise Refused(409, f"{node.path} is not empty: delete it with recursive=true")
    query = select(nodes.c.id).where(which, nodes.c.kind != FOLDER).limit(PAGE)
    leaves = list((await connection.scalars(query)).all())
    unnamed = await _unname(connection, node.namespace, leaves)
    if len(leaves) == PAGE:
        return True, unnamed
    await connection.execute(nodes.delete().where(which | (nodes.c.id == node.id)))
    return False, unnamed


async def _unname(connection: AsyncConnection, namespace: str, leaves: Sequence[str]) -> list[Asset]:
    """Take the names of these nodes away, and delete the assets that have no other."""
    gone = select(assets.c.bss_id).where(assets.c.node_id.in_(leaves)).distinct()
    named = list((await connection.scalars(gone)).all())
    await connection.execute(assets.delete().where(assets.c.node_id.in_(leaves)))
    await connection.execute(nodes.delete().where(nodes.c.id.in_(leaves)))
    unnamed = [
        Asset(**row._mapping)
        for at in range(0, len(named), PAGE)
        for row in await connection.execute(_unnamed(namespace, bss_assets.c.id.in_(named[at : at + PAGE])))
    ]
    unnamed.sort(key=lambda asset: asset.id)
    for at in range(0, len(unnamed), PAGE):
        ids = [asset.id for asset in unnamed[at : at + PAGE]]
        # In one order, as all who lock several of them.
        held = select(bss_assets.c.id).where(bss_assets.c.id.in_(ids)).order_by(bss_assets.c.id).with_for_update()
        await connection.execute(held)
        await connection.execute(bss_assets.delete().where(bss_assets.c.id.in_(ids)))
    return unnamed


def _unnamed(namespace: str, which: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """The assets of a namespace without any name in it; what others call by their ids is no name."""
    names = (
        select(assets.c.id)
        .join(nodes, nodes.c.id == assets.c.node_id)
        .join(projects, projects.c.id == nodes.c.project_id)
        .join(namespaces, namespaces.c.id == projects.c.namespace_id)
        .where(assets.c.bss_id == bss_assets.c.id, namespaces.c.slug == namespace)
    )
    return select(bss_assets).where(and_(which, bss_assets.c.owner == namespace, ~names.exists()))


async def _remove_all_objects(lake: Lake, gone: Sequence[Asset]) -> None:
    async with TaskPool(AT_ONCE) as pool:
        for asset in gone:
            await pool.start(partial(remove_objects, lake.storage, asset))
