"""Videos of the storage service: registration, sidecars, playlists, the frame index and the original bytes."""

from __future__ import annotations

import gzip
import re
import time
from typing import Any

from litestar import HttpMethod, Request, Response, Router, delete, get, post, route
from litestar.params import FromPath, FromQuery, JSONBody
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from dreamlake.core.kinds import VIDEO, content_type
from dreamlake.core.playlist import rewrite_uris
from dreamlake.core.targets import check_name
from dreamlake.core.wire import AssetPage, RegisterAsset, Registered, VideoMeta
from dreamlake.server.bss.objects import object_response
from dreamlake.server.bss.pool import PoolKey, find_staged
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake, new_id
from dreamlake.server.lambdas.jobs import job_state
from dreamlake.server.schema import bss_assets
from dreamlake.server.sidecar import Asset, read_meta, remove_objects

__all__ = ["find_asset", "videos_router"]

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MAX_PAGE = 1000
WORTH_PACKING = 8192  # bytes
_ID = re.compile(r"[0-9a-f]{8,24}")


@post("/")
async def register(data: JSONBody[RegisterAsset], lake: OpenLake) -> Response[Registered]:
    """Make a video of a staged file. The same name and bytes again give the same id."""
    name = check_name(data.name)
    known = await find_staged(lake.database, PoolKey(data.owner, data.project, data.staging_hash))
    if known is None:
        raise Refused(404, f"nothing is staged under {data.staging_hash} in {data.owner}/{data.project}")
    fields = {"kind": VIDEO.name, "owner": data.owner, "project": data.project, "name": name, "sha256": known.sha256}
    identity = [getattr(bss_assets.c, field) == value for field, value in fields.items()]
    row = {**fields, "hash": data.staging_hash, "size": known.size, "created_at": time.time()}
    async with lake.database.write() as connection:
        made = await connection.execute(insert(bss_assets).values(id=new_id(), **row).on_conflict_do_nothing())
        found = (await connection.execute(select(bss_assets).where(*identity))).one()
    asset = Asset(**found._mapping)
    meta = await current_meta(lake, asset)
    return Response(Registered(asset.id, meta.status), status_code=201 if made.rowcount else 200)


@get("/")
async def listing(
    lake: OpenLake,
    owner: FromQuery[str],
    project: FromQuery[str],
    limit: FromQuery[int] = 100,
    cursor: FromQuery[str | None] = None,
) -> AssetPage:
    """The videos of a project in the order of their creation."""
    limit = max(1, min(limit, MAX_PAGE))
    query = select(bss_assets).where(
        bss_assets.c.kind == VIDEO.name, bss_assets.c.owner == owner, bss_assets.c.project == project
    )
    if cursor is not None:
        query = query.where(bss_assets.c.id > cursor)
    async with lake.database.read() as connection:
        rows = (await connection.execute(query.order_by(bss_assets.c.id).limit(limit + 1))).all()
    assets = [Asset(**row._mapping) for row in rows[:limit]]
    items = [await current_meta(lake, asset) for asset in assets]
    return AssetPage(items, assets[-1].id if len(rows) > limit else None)


@get(["/{asset_id:str}", "/{asset_id:str}/metadata"])
async def metadata(lake: OpenLake, asset_id: FromPath[str]) -> VideoMeta:
    """The sidecar, with the progress of the processing."""
    return await current_meta(lake, await find_asset(lake, asset_id))


@route("/{asset_id:str}/stream/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def playlist(
    request: Request[Any, Any, Any], lake: OpenLake, asset_id: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """The HLS playlist, its chunks as absolute signed URLs."""
    asset = await find_asset(lake, asset_id)
    digest, _, extension = name.partition(".")
    if extension != "m3u8" or digest not in (await read_meta(lake.storage, asset)).streams:
        raise Refused(404, f"video {asset_id} has no stream {name}")
    text = (await lake.storage.read(asset.key(f"stream/{name}"))).decode()
    base = lake.base_url(request)
    signed = rewrite_uris(text, lambda key: lake.signed_url(base, "GET", f"/{key}", asset.owner))
    headers = {"Cache-Control": "private, max-age=60", "Vary": "Accept-Encoding"}
    content = signed.encode()
    if len(content) > WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=PLAYLIST_TYPE, headers=headers)


@route("/{asset_id:str}/frames.npz", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def frame_index(request: Request[Any, Any, Any], lake: OpenLake, asset_id: FromPath[str]) -> Response[Any]:
    """The exact frame index."""
    asset = await find_asset(lake, asset_id)
    return await object_response(
        lake.storage, asset.key("frames.npz"), request, "application/octet-stream", "private, max-age=60"
    )


@route("/{asset_id:str}/raw", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def raw(request: Request[Any, Any, Any], lake: OpenLake, asset_id: FromPath[str]) -> Response[Any]:
    """The original bytes."""
    asset = await find_asset(lake, asset_id)
    kind = content_type(VIDEO, asset.name)
    return await object_response(lake.storage, asset.staging, request, kind, "private, max-age=3600")


@delete("/{asset_id:str}")
async def remove(lake: OpenLake, asset_id: FromPath[str]) -> None:
    """Forget a video. Chunks stay while they may be another video's too."""
    asset = await find_asset(lake, asset_id)
    async with lake.database.write() as connection:
        await connection.execute(bss_assets.delete().where(bss_assets.c.id == asset.id))
    await remove_objects(lake.storage, asset)


def videos_router() -> Router:
    """The routes below /videos."""
    return Router("/videos", route_handlers=[register, listing, metadata, playlist, frame_index, raw, remove])


async def find_asset(lake: Lake, asset_id: str) -> Asset:
    """The asset with an id, or with the only id that begins so.

    Raises:
        Refused: 400 when it is no id, 404 when there is no such asset, 409 when a short id fits several.
    """
    if not _ID.fullmatch(asset_id):
        raise Refused(400, f"{asset_id!r} is not an ObjectId (24 hex digits, or the first of them, at least 8)")
    async with lake.database.read() as connection:
        query = select(bss_assets).where(bss_assets.c.id.between(asset_id, f"{asset_id}g")).limit(2)
        rows = (await connection.execute(query)).all()
    if not rows:
        raise Refused(404, f"there is no asset {asset_id}")
    if len(rows) > 1:
        raise Refused(409, f"{asset_id} begins several ids: give more of its digits")
    return Asset(**rows[0]._mapping)


async def current_meta(lake: Lake, asset: Asset) -> VideoMeta:
    """The sidecar as it is now: while a job is under way the queue knows more than the file."""
    async with lake.database.read() as connection:
        state = await job_state(connection, asset.id)
    meta = await read_meta(lake.storage, asset)
    if state is not None and state.state in ("queued", "running"):
        meta.status, meta.progress, meta.error = "processing", state.progress, None
    return meta
