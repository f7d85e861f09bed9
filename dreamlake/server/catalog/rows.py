"""Nodes as they are read: each with the newest asset that the storage has for it."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Row, Select, and_, null, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.ids import resource_id
from dreamlake.core.kinds import kind_named
from dreamlake.core.wirecatalog import EPISODE, FOLDER, AssetItem, Node
from dreamlake.server.schema import assets, bss_assets, episodes, namespaces, nodes, projects
from dreamlake.server.sidecar import timestamp

__all__ = ["Found", "as_item", "as_node", "below", "newest_nodes", "node_with_id", "or_itself"]

Found: TypeAlias = Row[*tuple[Any, ...]]
"""A node, with the columns that ``newest_nodes`` selects."""

_versions = assets.alias("versions")
_stored = bss_assets.alias("stored")

# What was deleted from the storage is no asset any more, and what is another owner's never was one. This is no join,
# because SQLite would begin it with all assets of the owner.
_is_stored = (
    select(_stored.c.id)
    .where(_stored.c.id == _versions.c.bss_id, _stored.c.kind == nodes.c.kind, _stored.c.owner == namespaces.c.slug)
    .correlate(_versions, nodes, namespaces)
    .exists()
)
_newest = (
    select(_versions.c.id)
    .where(_versions.c.node_id == nodes.c.id, _is_stored)
    .order_by(_versions.c.created_at.desc(), _versions.c.id.desc())
    .limit(1)
    .correlate(nodes, namespaces)
    .scalar_subquery()
)

_COLUMNS = (
    nodes.c.id, nodes.c.kind, nodes.c.path, nodes.c.name, nodes.c.scope, nodes.c.parent_id, nodes.c.created_at,
    projects.c.id.label("project_id"), projects.c.slug.label("space"), namespaces.c.slug.label("namespace"),
    episodes.c.id.label("episode_id"), episodes.c.name.label("episode"), assets.c.id.label("asset_id"),
    assets.c.created_at.label("added_at"), assets.c.metadata.label("extra"), bss_assets.c.id.label("bss_id"),
    bss_assets.c.size, bss_assets.c.sha256,
)  # fmt: skip


def newest_nodes(*which: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """The nodes for which this holds: folders, and those whose asset is there."""
    tables = (
        nodes.join(projects, projects.c.id == nodes.c.project_id)
        .join(namespaces, namespaces.c.id == projects.c.namespace_id)
        .outerjoin(episodes, episodes.c.id == nodes.c.episode_id)
        .outerjoin(assets, assets.c.id == _newest)
        .outerjoin(bss_assets, bss_assets.c.id == assets.c.bss_id)
    )
    there = or_(nodes.c.kind == FOLDER, bss_assets.c.id.is_not(null()))
    return select(*_COLUMNS).select_from(tables).where(*which, there)


def below(path: str) -> ColumnElement[bool]:
    """Whether a node lies somewhere below a path: it is compared by its parts, and '%' and '_' are letters."""
    return and_(nodes.c.path > f"{path}/", nodes.c.path < f"{path}0")  # '0' comes after '/'


def or_itself(path: str) -> ColumnElement[bool]:
    """Whether a node lies below a path or is what lies there; one range, so that an index can be followed."""
    return and_(nodes.c.path >= path, nodes.c.path < f"{path}0", or_(nodes.c.path == path, nodes.c.path > f"{path}/"))


async def node_with_id(connection: AsyncConnection, node_id: str) -> Found | None:
    """The node, or the episode, with this id."""
    row = (await connection.execute(newest_nodes(nodes.c.id == node_id))).first()
    if row is not None:
        return row
    tables = episodes.join(projects, projects.c.id == episodes.c.project_id).join(
        namespaces, namespaces.c.id == projects.c.namespace_id
    )
    missing = {name: null().label(name) for name in ("asset_id", "added_at", "extra", "bss_id", "size", "sha256")}
    query = select(
        episodes.c.id, episodes.c.name, episodes.c.created_at, episodes.c.id.label("scope"),
        episodes.c.name.label("path"), episodes.c.id.label("episode_id"), episodes.c.name.label("episode"),
        projects.c.id.label("project_id"), projects.c.slug.label("space"), namespaces.c.slug.label("namespace"),
        null().label("kind"), null().label("parent_id"), *missing.values(),
    )  # fmt: skip
    return (await connection.execute(query.select_from(tables).where(episodes.c.id == node_id))).first()


def as_node(row: Found) -> Node:
    """What is said of a node."""
    kind: Any = row.kind or EPISODE
    return Node(
        id=row.id,
        kind=kind,
        name=row.path,
        namespace=row.namespace,
        space=row.space,
        episode=row.episode,
        project_id=row.project_id,
        episode_id=row.episode_id,
        parent_id=row.parent_id,
        created_at=timestamp(row.created_at if row.asset_id is None else row.added_at),
        asset_id=row.asset_id,
        bss_id=row.bss_id,
        resource_id=None if row.bss_id is None else resource_id(kind_named(kind), row.bss_id),
        size=row.size,
        sha256=row.sha256,
        metadata=row.extra,
    )


def as_item(row: Found) -> AssetItem:
    """The same of the node of an asset, as lists of assets say it."""
    return AssetItem(
        id=row.asset_id,
        node_id=row.id,
        name=row.path,
        episode=row.episode,
        type=row.kind,
        resource_id=resource_id(kind_named(row.kind), row.bss_id),
        bss_id=row.bss_id,
        size=row.size,
        created_at=timestamp(row.added_at),
        metadata=row.extra,
    )
