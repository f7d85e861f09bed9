"""New versions of tracks: other bytes under the same id, and nothing that was said meanwhile is lost.

A version is made of the one before it, which whoever makes it names. It is taken only while that is the newest one;
otherwise its maker has to look again at what there is.
"""

from __future__ import annotations

from litestar import Router, post
from litestar.params import FromPath, JSONBody
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.kinds import LABEL_TRACK, TEXT_TRACK
from dreamlake.core.wireuploads import NewVersion, Registered
from dreamlake.server.bss.assets import find_asset
from dreamlake.server.bss.pool import PoolKey, hold_names, use
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake, new_id
from dreamlake.server.lambdas.jobs import enqueue
from dreamlake.server.routing import AssetKind, of_kind
from dreamlake.server.schema import assets, bss_assets
from dreamlake.server.sidecar import Asset

__all__ = ["versions_routers"]


@post("/{asset_id:str}/versions", status_code=202)
async def new_version(
    data: JSONBody[NewVersion], lake: OpenLake, kind: AssetKind, asset_id: FromPath[str]
) -> Registered:
    """Give a track the bytes of a staged file, and have it processed again.

    412 where it has others by now than those that were expected, 409 where it has several names, so that a change under
    one of them would be one under all.
    """
    asset = await find_asset(lake, asset_id, kind)
    try:
        await _change(lake, asset, data)
    except IntegrityError:
        raise Refused(409, f"another {kind.name} has these bytes and the name {asset.name}") from None
    await lake.runner.wake([asset.id])
    return Registered(asset.id, "processing")


async def _change(lake: Lake, asset: Asset, data: NewVersion) -> None:
    key = PoolKey(asset.owner, asset.project, data.staging_hash)
    async with lake.database.write() as connection:
        await hold_names(connection, [key])
        staged = (await use(connection, [key])).get(key)
        if staged is None:
            raise Refused(404, f"nothing is staged under {key.hash} in {key.owner}/{key.project}")
        held = select(bss_assets.c.sha256).where(bss_assets.c.id == asset.id).with_for_update()
        now = await connection.scalar(held)
        if now == staged.sha256:
            return  # said before
        if now is None:
            raise Refused(404, f"there is no {asset.kind} {asset.id} any more")
        if now != data.expected:
            raise Refused(412, f"{asset.name} has got another version meanwhile")
        if await _names(connection, asset) > 1:
            raise Refused(409, f"{asset.name} has other names besides, under which it must not change")
        changed = {"hash": key.hash, "sha256": staged.sha256, "size": staged.size}
        await connection.execute(update(bss_assets).where(bss_assets.c.id == asset.id).values(**changed))
        assert asset.kind_info.action is not None
        await enqueue(connection, [(new_id(), asset.id, asset.kind_info.action)], again=True)


async def _names(connection: AsyncConnection, asset: Asset) -> int:
    query = select(func.count(assets.c.node_id.distinct())).where(assets.c.bss_id == asset.id)
    return int(await connection.scalar(query) or 0)


def versions_routers() -> list[Router]:
    """The routes below /labels and /text-tracks that no other kind has."""
    return [
        Router(f"/{kind.route}", route_handlers=[new_version], dependencies=of_kind(kind))
        for kind in (LABEL_TRACK, TEXT_TRACK)
    ]
