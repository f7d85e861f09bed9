"""Names: namespaces, projects, episodes and the folder tree (seed 2, "DreamLake Server").

Every record is made by an insert that yields to whoever was first, so any number of concurrent creators end with one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.server.errors import Refused
from dreamlake.server.lake import new_id
from dreamlake.server.schema import episodes, namespaces, nodes, projects

__all__ = ["Leaf", "ensure_leaf", "ensure_project", "upsert"]


@dataclass(frozen=True)
class Leaf:
    """The node of an asset, and the nodes it lies in; None where it lies in the root."""

    node_id: str
    folder_id: str | None
    filename: str


async def upsert(connection: AsyncConnection, table: Table, identity: dict[str, Any], **rest: Any) -> str:
    """The id of the record with these unique columns, made if there is none."""
    values = {"id": new_id(), **identity, **rest, "created_at": time.time()}
    await connection.execute(insert(table).values(**values).on_conflict_do_nothing())
    where = [table.c[column] == value for column, value in identity.items()]
    return str((await connection.execute(select(table.c.id).where(*where))).scalar_one())


async def ensure_project(
    connection: AsyncConnection, namespace: str, space: str, episode: str | None
) -> tuple[str, str | None]:
    """The ids of a project (space) and of an episode in it, made if they are new."""
    namespace_id = await upsert(connection, namespaces, {"slug": namespace})
    project_id = await upsert(connection, projects, {"namespace_id": namespace_id, "slug": space})
    if episode is None:
        return project_id, None
    return project_id, await upsert(connection, episodes, {"project_id": project_id, "name": episode})


async def ensure_leaf(
    connection: AsyncConnection, project_id: str, episode_id: str | None, name: str, kind: str
) -> Leaf:
    """The node of an asset's name, with a folder node for each part of its path."""
    scope = episode_id or project_id
    *folders, filename = name.strip("/").split("/")
    parent: str | None = None
    path = ""
    for part in folders:
        path = f"{path}/{part}"
        parent = await _node(connection, project_id, episode_id, scope, parent, "folder", part, path)
    leaf = await _node(connection, project_id, episode_id, scope, parent, kind, filename, name)
    return Leaf(leaf, parent, filename)


async def _node(
    connection: AsyncConnection,
    project_id: str,
    episode_id: str | None,
    scope: str,
    parent_id: str | None,
    kind: str,
    name: str,
    path: str,
) -> str:
    identity = {"scope": scope, "path": path}
    rest = {"project_id": project_id, "episode_id": episode_id, "parent_id": parent_id, "kind": kind, "name": name}
    node_id = await upsert(connection, nodes, identity, **rest)
    there = (await connection.execute(select(nodes.c.kind).where(nodes.c.id == node_id))).scalar_one()
    if there != kind:
        raise Refused(409, f"{path} is a {there}, and cannot be a {kind} too")
    return node_id
