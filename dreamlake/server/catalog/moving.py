"""Moving and renaming: a node gets another path, and so does all that is below it, in one transaction."""

from __future__ import annotations

from litestar import patch
from litestar.params import JSONBody
from sqlalchemy import LargeBinary, bindparam, cast, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.targets import MAX_NAME_BYTES, check_name
from dreamlake.core.wirecatalog import FOLDER, MoveNode, Node
from dreamlake.server.catalog.place import AskedNode, find_node
from dreamlake.server.catalog.rows import Found, as_node, below
from dreamlake.server.catalog.tree import ensure_folder, hold_tree, upsert
from dreamlake.server.errors import Refused
from dreamlake.server.lake import OpenLake
from dreamlake.server.schema import assets, episodes, nodes

__all__ = ["move"]


@patch("/nodes/{node_id:str}")
async def move(data: JSONBody[MoveNode], lake: OpenLake, node: AskedNode) -> Node:
    """Give a node another path, with all that is below it. Folders on the way are made, and old ones stay.

    Nothing is written over: what lies at the new path already is a conflict.
    """
    if node.kind is None:
        raise Refused(400, f"{node.path} is an episode, which cannot be moved")
    name = check_name(data.name)
    async with lake.database.write() as connection:
        await hold_tree(connection, node.project_id, alone=True)
        node = await find_node(connection, node.id)  # where it is now, since nothing else moves here any more
        await _move(connection, node, name, data.episode)
        return as_node(await find_node(connection, node.id))


async def _move(connection: AsyncConnection, node: Found, name: str, episode: str | None) -> None:
    episode_id: str | None = node.episode_id
    if episode is not None and episode != (node.episode or ""):
        identity = {"project_id": node.project_id, "name": episode}
        episode_id = await upsert(connection, episodes, identity) if episode else None
    scope = episode_id or node.project_id
    if (scope, name) == (node.scope, node.path):
        return
    if scope == node.scope and f"{name}/".startswith(f"{node.path}/"):
        raise Refused(400, f"{node.path} cannot be moved into itself")
    there = await connection.scalar(select(nodes.c.kind).where(nodes.c.scope == scope, nodes.c.path == name))
    if there is not None:
        raise Refused(409, f"there is a {there} at {name} already")
    folder, _, filename = name.rpartition("/")
    parent_id = await ensure_folder(connection, node.project_id, episode_id, folder, {})
    change = {"scope": scope, "episode_id": episode_id}
    await connection.execute(
        update(nodes).where(nodes.c.id == node.id).values(**change, parent_id=parent_id, name=filename, path=name)
    )
    if node.kind != FOLDER:
        values = {"filename": filename, "folder_id": parent_id}
        await connection.execute(update(assets).where(assets.c.node_id == node.id).values(**values))
        return
    inside = (nodes.c.scope == node.scope) & below(node.path)
    # Bytes, as names are limited by them; a backslash, which a cast would read as an escape, is in no name.
    longest = await connection.scalar(select(func.max(func.length(cast(nodes.c.path, LargeBinary)))).where(inside))
    if longest is not None and longest - len(node.path.encode()) + len(name.encode()) > MAX_NAME_BYTES:
        raise Refused(400, f"what lies in {node.path} would get names of more than {MAX_NAME_BYTES} bytes")
    path = bindparam("path_before", name).concat(func.substr(nodes.c.path, len(node.path) + 1))
    await connection.execute(update(nodes).where(inside).values(**change, path=path))
