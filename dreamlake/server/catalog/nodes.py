"""Making nodes: the newer form of the registration of assets, and folders and episodes by themselves."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, post
from litestar.params import JSONBody
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.kinds import kind_named
from dreamlake.core.targets import check_name, check_slug
from dreamlake.core.wirecatalog import EPISODE, FOLDER, AssetCreated, CreateNode
from dreamlake.server.catalog.assets import Naming, name_asset
from dreamlake.server.catalog.tree import ensure_folder, ensure_project
from dreamlake.server.errors import Refused
from dreamlake.server.lake import OpenLake

__all__ = ["create_node"]


@post("/nodes")
async def create_node(request: Request[Any, Any, Any], data: JSONBody[CreateNode], lake: OpenLake) -> AssetCreated:
    """Give an asset its name, or make a folder or an episode. The same again gives the same records."""
    lake.caller.admit(data.namespace)
    body: dict[str, Any] = msgspec.json.decode(await request.body())
    async with lake.database.write() as connection:
        if data.kind == EPISODE:
            return await _create_episode(connection, data)
        if data.kind == FOLDER:
            return await _create_folder(connection, data)
        kind = kind_named(data.kind)
        if data.metadata is None or data.metadata.bss_id is None:
            raise Refused(400, f"metadata.bssId is missing: register {kind.phrase} with the storage service first")
        extra = {key: value for key, value in body["metadata"].items() if key != "bssId"}
        naming = Naming(data.namespace, data.space, data.episode, data.name, data.metadata.bss_id, extra)
        return await name_asset(connection, lake, lake.base_url(request), kind, naming, {})


async def _create_episode(connection: AsyncConnection, data: CreateNode) -> AssetCreated:
    name = check_slug(data.name.removeprefix("/"), "an episode")
    if data.episode not in (None, name):
        raise Refused(400, "an episode lies in no other one")
    project_id, episode_id = await ensure_project(connection, data.namespace, data.space, name, {})
    assert episode_id is not None
    return AssetCreated(episode_id, episode_id, project_id, episode_id, None, name, None)


async def _create_folder(connection: AsyncConnection, data: CreateNode) -> AssetCreated:
    name = check_name(data.name)
    project_id, episode_id = await ensure_project(connection, data.namespace, data.space, data.episode, {})
    parent, _, filename = name.rpartition("/")
    parent_id = await ensure_folder(connection, project_id, episode_id, parent, {})
    node_id = await ensure_folder(connection, project_id, episode_id, name, {})
    assert node_id is not None
    return AssetCreated(node_id, node_id, project_id, episode_id, parent_id, filename, None)
