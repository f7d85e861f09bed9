"""Dispatch of lambdas: by id with a key, or by the signed URL that registration gave out (seed 4, "Lambda Trigger")."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, post
from litestar.params import FromPath

from dreamlake.core.kinds import KINDS
from dreamlake.core.wireassets import AssetMeta, AudioMeta, VideoMeta
from dreamlake.core.wireuploads import Registered
from dreamlake.server.access import SIGNED
from dreamlake.server.bss.assets import current_meta, find_asset
from dreamlake.server.errors import Refused
from dreamlake.server.lake import OpenLake, new_id, verified
from dreamlake.server.lambdas.jobs import enqueue
from dreamlake.server.lambdas.worker import ACTIONS
from dreamlake.server.sidecar import read_meta

__all__ = ["trigger"]


@post("/lambdas/{action:str}", status_code=202, opt=SIGNED)
async def trigger(request: Request[Any, Any, Any], lake: OpenLake, action: FromPath[str]) -> Registered:
    """Queue the processing of an asset. It is done once; triggering it again is harmless, and retries a failure."""
    kind = next((kind for kind in KINDS if kind.action == action), None)
    if kind is None or action not in ACTIONS:
        raise Refused(404, f"there is no lambda {action!r}")
    if "signature" in request.query_params:
        verified(lake, request)
        asset_id = request.query_params.get(kind.id_field, "")
    else:
        asset_id = await _id_in_body(request, kind.id_field)
    asset = await find_asset(lake, asset_id)
    if asset.kind != kind.name:
        raise Refused(400, f"{asset_id} is not {kind.phrase}")
    # A job that is done has left a result; if that is gone, or of a version that knew less, it is done again.
    again = _lacks(await read_meta(lake.storage, asset))
    async with lake.database.write() as connection:
        if not await enqueue(connection, [(new_id(), asset.id, action)], again=again):
            raise Refused(404, f"there is no {kind.name} {asset_id} any more")
    await lake.runner.wake([asset.id])
    return Registered(asset.id, (await current_meta(lake, asset)).status)


def _lacks(meta: AssetMeta) -> bool:
    """Whether anything is missing that processing leaves behind."""
    if meta.status != "ready":
        return True
    if isinstance(meta, VideoMeta):
        return bool(meta.has_audio) and len(meta.streams) < 2
    return isinstance(meta, AudioMeta) and meta.index is None


async def _id_in_body(request: Request[Any, Any, Any], field: str) -> str:
    try:
        body = msgspec.json.decode(await request.body(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        body = {}
    if not isinstance(body.get(field), str):
        raise Refused(400, f"the body is a JSON object with the {field}")
    return str(body[field])
