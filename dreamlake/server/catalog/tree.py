"""Names: namespaces, projects, episodes and the folder tree (seed 2, "DreamLake Server").

Every record is made by an insert that yields to whoever was first, so any number of concurrent creators end with one.
In PostgreSQL that insert waits until the first one's transaction has ended. So that no two wait for each other, all
make their records in one order: what lies in something after it, and what lies beside it by name (``order``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Row, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.server.database import hold, insert
from dreamlake.server.errors import Refused
from dreamlake.server.newid import new_id
from dreamlake.server.schema import episodes, namespaces, nodes, projects

__all__ = ["Leaf", "Memo", "ensure_folder", "ensure_leaf", "ensure_project", "hold_tree", "order", "upsert"]


@dataclass(frozen=True)
class Leaf:
    """The node of an asset, and the nodes it lies in; None where it lies in the root."""

    node_id: str
    folder_id: str | None
    filename: str


Memo = dict[tuple[Any, ...], str]

TRIES = 10  # at a record that is made and taken away again each time


def order(namespace: str, space: str, episode: str | None, name: str) -> tuple[Any, ...]:
    """What a transaction that makes several assets sorts them by."""
    return namespace, space, episode or "", *name.strip("/").split("/")


async def hold_tree(connection: AsyncConnection, project_id: str, *, alone: bool) -> None:
    """Keep the nodes of a space where they are until the transaction ends.

    Args:
        connection: in a transaction that writes.
        project_id: of the space.
        alone: for who takes nodes away or moves them; False for who makes them, which many may do at once.
    """
    await hold(connection, [f"tree/{project_id}"], alone=alone)


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
    found: str = (await _upsert(connection, table, identity, rest, table.c.id)).id
    if memo is not None:
        memo[known] = found
    return found


async def _upsert(
    connection: AsyncConnection,
    table: Table,
    identity: dict[str, Any],
    rest: dict[str, Any],
    *columns: Column[Any],
    shared: bool = True,
) -> Row[Any]:
    """These columns of the record, made if there is none; ``shared`` by many, so that it is there most likely."""
    query = select(*columns).where(*(table.c[column] == value for column, value in identity.items()))
    for attempt in range(TRIES):
        # To look disturbs nobody.
        if (shared or attempt) and (row := (await connection.execute(query)).first()) is not None:
            return row
        values = {"id": new_id(), **identity, **rest, "created_at": time.time()}
        made = insert(connection, table).values(**values).on_conflict_do_nothing().returning(*columns)
        if (row := (await connection.execute(made)).first()) is not None:
            return row
        # Somebody was faster.
    raise Refused(503, f"{table.name} are made and taken away all the time; try again", {"Retry-After": "1"})


async def ensure_project(
    connection: AsyncConnection, namespace: str, space: str, episode: str | None, memo: Memo
) -> tuple[str, str | None]:
    """The ids of a project (space) and of an episode in it, made if they are new."""
    namespace_id = await upsert(connection, namespaces, {"slug": namespace}, memo)
    project_id = await upsert(connection, projects, {"namespace_id": namespace_id, "slug": space}, memo)
    if ("held", project_id) not in memo:
        await hold_tree(connection, project_id, alone=False)
        memo["held", project_id] = project_id
    if episode is None:
        return project_id, None
    return project_id, await upsert(connection, episodes, {"project_id": project_id, "name": episode}, memo)


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
    rest = {"project_id": project_id, "episode_id": episode_id, "parent_id": parent_id, "kind": kind, "name": name}
    identity, columns = {"scope": scope, "path": path}, (nodes.c.id, nodes.c.kind)
    row = await _upsert(connection, nodes, identity, rest, *columns, shared=kind == "folder")
    if row.kind != kind:
        raise Refused(409, f"{path} is a {row.kind}, and cannot be a {kind} too")
    found: str = row.id
    if memo is not None:
        memo[nodes.name, scope, path] = found
    return found
