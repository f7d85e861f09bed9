"""HLS playlists of what is cut into chunks: all but images."""

from __future__ import annotations

import gzip
import re
from typing import Any

from litestar import HttpMethod, Request, Response, Router, route
from litestar.params import FromPath

from dreamlake.core.kinds import AUDIO, LABEL_TRACK, TEXT_TRACK, VIDEO
from dreamlake.core.playlist import rewrite_uris
from dreamlake.core.wireassets import StreamedMeta
from dreamlake.server.bss.assets import find_asset
from dreamlake.server.errors import Refused
from dreamlake.server.lake import OpenLake
from dreamlake.server.routing import AssetKind, of_kind
from dreamlake.server.sidecar import parse_meta

__all__ = ["streams_routers"]

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
WORTH_PACKING = 8192  # bytes
_NAME = re.compile(r"([0-9a-f]{16,64})\.m3u8")


@route("/{asset_id:str}/stream/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def playlist(
    request: Request[Any, Any, Any], lake: OpenLake, kind: AssetKind, asset_id: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """The HLS playlist, its chunks as absolute signed URLs."""
    asset = await find_asset(lake, asset_id, kind)
    text = None
    if (match := _NAME.fullmatch(name)) is not None:
        sidecar, text = await lake.storage.read_many([asset.key("meta.json"), asset.key(f"stream/{name}")])
        meta = parse_meta(asset, sidecar)
        if not isinstance(meta, StreamedMeta) or match[1] not in meta.streams:
            text = None
    if text is None:
        raise Refused(404, f"{kind.name} {asset_id} has no stream {name}")
    base = lake.base_url(request)
    signed = rewrite_uris(text.decode(), lambda key: lake.signed_url(base, "GET", f"/{key}", asset.owner))
    headers = {"Cache-Control": "private, max-age=60", "Vary": "Accept-Encoding"}
    content = signed.encode()
    if len(content) > WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=PLAYLIST_TYPE, headers=headers)


def streams_routers() -> list[Router]:
    """The routes of playlists, below the prefix of each kind that has them."""
    return [
        Router(f"/{kind.route}", route_handlers=[playlist], dependencies=of_kind(kind))
        for kind in (VIDEO, AUDIO, LABEL_TRACK, TEXT_TRACK)
    ]
