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

__all__ = ["Leaf", "Memo", "ensure_folder", "ensure_leaf", "ensure_project", "hold_project", "upsert"]


@dataclass(frozen=True)
class Leaf:
    """The node of an asset, and the nodes it lies in; None where it lies in the root."""

    node_id: str
    folder_id: str | None
    filename: str


Memo = dict[tuple[Any, ...], str]


async def upsert(
    connection: AsyncConnection, table: Table, identity: dict[str, Any], memo: Memo | None = None, **rest: Any
) -> str:
    """The id of the record with these unique columns, made if there is none.

    Args:
        connection: in a transaction that writes.
        table: of the record.
        identity: its unique columns.
        memo: ids that were found in this transaction, of records that many others share.
        rest: of its columns.
    """
    known = (table.name, *identity.values())
    if memo is not None and known in memo:
        return memo[known]
    values = {"id": new_id(), **identity, **rest, "created_at": time.time()}
    made = await connection.execute(insert(table).values(**values).on_conflict_do_nothing())
    found = str(values["id"])
    if not made.rowcount:  # somebody was faster
        where = [table.c[column] == value for column, value in identity.items()]
        found = str((await connection.execute(select(table.c.id).where(*where))).scalar_one())
    if memo is not None:
        memo[known] = found
    return found


async def ensure_project(
    connection: AsyncConnection, namespace: str, space: str, episode: str | None, memo: Memo
) -> tuple[str, str | None]:
    """The ids of a project (space) and of an episode in it, made if they are new."""
    namespace_id = await upsert(connection, namespaces, {"slug": namespace}, memo)
    project_id = await upsert(connection, projects, {"namespace_id": namespace_id, "slug": space}, memo)
    if ("held", project_id) not in memo:
        await hold_project(connection, project_id)
        memo["held", project_id] = project_id
    if episode is None:
        return project_id, None
    return project_id, await upsert(connection, episodes, {"project_id": project_id, "name": episode}, memo)


async def hold_project(connection: AsyncConnection, project_id: str, *, alone: bool = False) -> None:
    """Keep the paths of a project as they are until the transaction ends; any number may add some at once.

    PostgreSQL locks the row. SQLite, which has one writer at a time, ignores it.

    Args:
        connection: in a transaction that writes.
        project_id: of the project.
        alone: for the one that changes paths, or takes them away.
    """
    query = select(projects.c.id).where(projects.c.id == project_id)
    lock = query.with_for_update() if alone else query.with_for_update(read=True, key_share=True)
    await connection.execute(lock)


async def ensure_leaf(
    connection: AsyncConnection, project_id: str, episode_id: str | None, name: str, kind: str, memo: Memo
) -> Leaf:
    """The node of an asset's name, with a folder node for each part of its path."""
    folder, _, filename = name.rpartition("/")
    parent = await ensure_folder(connection, project_id, episode_id, folder, memo)
    scope = episode_id or project_id
    leaf = await _node(connection, project_id, episode_id, scope, parent, kind, filename, name, None)
    return Leaf(leaf, parent, filename)


async def ensure_folder(
    connection: AsyncConnection, project_id: str, episode_id: str | None, folder: str, memo: Memo
) -> str | None:
    """The node of a folder, with one for each folder that it lies in; None for the root, whose path is empty."""
    scope = episode_id or project_id
    parent: str | None = None
    path = ""
    for part in folder.split("/")[1:]:
        path = f"{path}/{part}"
        parent = await _node(connection, project_id, episode_id, scope, parent, "folder", part, path, memo)
    return parent


async def _node(
    connection: AsyncConnection,
    project_id: str,
    episode_id: str | None,
    scope: str,
    parent_id: str | None,
    kind: str,
    name: str,
    path: str,
    memo: Memo | None,
) -> str:
    if memo is not None and (known := memo.get((nodes.name, scope, path))) is not None:
        return known
    node_id = new_id()
    row = {
        "id": node_id, "scope": scope, "path": path, "project_id": project_id, "episode_id": episode_id,
        "parent_id": parent_id, "kind": kind, "name": name, "created_at": time.time(),
    }  # fmt: skip
    made = await connection.execute(insert(nodes).values(**row).on_conflict_do_nothing())
    if not made.rowcount:  # somebody was faster
        where = (nodes.c.scope == scope, nodes.c.path == path)
        there = (await connection.execute(select(nodes.c.id, nodes.c.kind).where(*where))).one()
        if there.kind != kind:
            raise Refused(409, f"{path} is a {there.kind}, and cannot be a {kind} too")
        node_id = there.id
    if memo is not None:
        memo[nodes.name, scope, path] = node_id
    return node_id
