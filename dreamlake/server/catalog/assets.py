"""Registration of assets in the catalog, which answers with the signed URL that starts their processing."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.params import JSONBody

from dreamlake.core.kinds import VIDEO
from dreamlake.core.targets import check_name
from dreamlake.core.wire import AssetCreated, CreateAsset, Me
from dreamlake.server.catalog.tree import ensure_leaf, ensure_project, upsert
from dreamlake.server.errors import Refused
from dreamlake.server.lake import OpenLake
from dreamlake.server.schema import assets

__all__ = ["create_video", "me"]

_KNOWN = {field.encode_name for field in msgspec.structs.fields(CreateAsset)}


@post("/assets/video", status_code=201)
async def create_video(request: Request[Any, Any, Any], data: JSONBody[CreateAsset], lake: OpenLake) -> AssetCreated:
    """Give a video its place in a namespace, a space and a folder. The same again gives the same records."""
    name = check_name(data.name)
    bss_id = data.bss_video_id
    if bss_id is None:
        raise Refused(400, f"{VIDEO.bss_field} is missing: register the video with the storage service first")
    body: dict[str, Any] = msgspec.json.decode(await request.body())
    extra = {key: value for key, value in body.items() if key not in _KNOWN}
    async with lake.database.write() as connection:
        project_id, episode_id = await ensure_project(connection, data.namespace, data.space, data.episode_name)
        leaf = await ensure_leaf(connection, project_id, episode_id, name, VIDEO.name)
        identity = {"node_id": leaf.node_id, "bss_id": bss_id}
        asset_id = await upsert(
            connection,
            assets,
            identity,
            kind=VIDEO.name,
            folder_id=leaf.folder_id,
            filename=leaf.filename,
            metadata=extra,
        )
    path = f"/lambdas/{VIDEO.action}"
    url = lake.signed_url(lake.base_url(request), "POST", path, data.namespace, {VIDEO.id_field: bss_id})
    return AssetCreated(asset_id, leaf.node_id, project_id, episode_id, leaf.folder_id, leaf.filename, url)


@get("/auth/me")
async def me(lake: OpenLake) -> Me:
    """Who the caller is."""
    return Me(lake.settings.namespace)
