"""What a request of the catalog is about: a place that its query names, or a node with an id.

Every route learns its namespace here, before it does anything else.
"""

from __future__ import annotations

from dataclasses import dataclass

from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.ids import is_object_id
from dreamlake.core.targets import check_slug
from dreamlake.server.catalog.rows import Found, node_with_id
from dreamlake.server.errors import Refused
from dreamlake.server.lake import OpenLake
from dreamlake.server.schema import episodes, namespaces, projects

__all__ = ["ASKED", "AskedNode", "AskedOwner", "AskedPlace", "Place", "find_node", "scope_of"]


@dataclass(frozen=True)
class Place:
    """A space of a namespace, and an episode in it.

    Attributes:
        namespace: whose it is.
        space: in it.
        episode: in the space; empty for what lies outside of all episodes, None where none was named.
    """

    namespace: str
    space: str
    episode: str | None

    def __str__(self) -> str:
        return f"{self.namespace}@{self.space}" + (f":{self.episode}" if self.episode else "")


async def asked_place(
    lake: OpenLake,
    namespace: FromQuery[str],
    space: FromQuery[str | None] = None,
    project: FromQuery[str | None] = None,
    episode: FromQuery[str | None] = None,
) -> Place:
    """The place in the query; ``project`` is the older name of ``space``."""
    named = space or project
    if not named:
        raise Refused(400, "space is missing")
    lake.caller.admit(check_slug(namespace, "a namespace"))
    check_slug(named, "a space")
    if episode:
        check_slug(episode, "an episode")
    return Place(namespace, named, episode)


async def asked_owner(lake: OpenLake, namespace: FromPath[str]) -> str:
    """The namespace in the path."""
    lake.caller.admit(check_slug(namespace, "a namespace"))
    return namespace


async def asked_node(lake: OpenLake, node_id: FromPath[str]) -> Found:
    """The node, or the episode, in the path."""
    async with lake.database.read(quick=True) as connection:
        node = await find_node(connection, node_id)
    if not lake.caller.owns(node.namespace):
        raise _no_node(node_id)
    return node


AskedPlace = NamedDependency[Place]  # how a route asks for them
AskedOwner = NamedDependency[str]
AskedNode = NamedDependency[Found]

ASKED = {"place": Provide(asked_place), "owner": Provide(asked_owner), "node": Provide(asked_node)}


async def find_node(connection: AsyncConnection, node_id: str) -> Found:
    """The node, or the episode, with an id.

    Raises:
        Refused: 400 when it is no id, 404 when there is no such node.
    """
    if not is_object_id(node_id):
        raise Refused(400, f"{node_id!r} is not the id of a node (24 hex digits)")
    node = await node_with_id(connection, node_id)
    if node is None:
        raise _no_node(node_id)
    return node


def _no_node(node_id: str) -> Refused:
    return Refused(404, f"there is no node {node_id}")


async def scope_of(connection: AsyncConnection, place: Place) -> tuple[str, str | None] | None:
    """The ids of a project, and of the episode in it or of itself; None where there is no such place.

    The second is what paths are unique in. It is None where no episode was named, not even an empty one.
    """
    query = select(projects.c.id, episodes.c.id.label("episode_id")).select_from(
        projects.join(namespaces, namespaces.c.id == projects.c.namespace_id).outerjoin(
            episodes, (episodes.c.project_id == projects.c.id) & (episodes.c.name == (place.episode or ""))
        )
    )
    query = query.where(namespaces.c.slug == place.namespace, projects.c.slug == place.space)
    row = (await connection.execute(query)).first()
    if row is None or (place.episode and row.episode_id is None):
        return None
    if place.episode is None:
        return row.id, None
    return row.id, row.episode_id or row.id
