"""What only videos and sound have: playlists, the frame index and the sample index."""

from __future__ import annotations

import gzip
import re
from typing import Any

from litestar import HttpMethod, Request, Response, Router, route
from litestar.params import FromPath

from dreamlake.core.kinds import AUDIO, VIDEO
from dreamlake.core.playlist import rewrite_uris
from dreamlake.core.wire import StreamedMeta
from dreamlake.server.bss.assets import find_asset
from dreamlake.server.bss.objects import object_response
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake
from dreamlake.server.sidecar import SAMPLES, Asset, parse_meta

__all__ = ["streams_routers"]

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
WORTH_PACKING = 8192  # bytes
_NAME = re.compile(r"([0-9a-f]{16,64})\.m3u8")


@route("/{asset_id:str}/stream/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def playlist(
    request: Request[Any, Any, Any], lake: OpenLake, asset_id: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """The HLS playlist, its chunks as absolute signed URLs."""
    return await _playlist(request, lake, await find_asset(lake, asset_id, VIDEO), name)


@route("/{asset_id:str}/stream/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def audio_playlist(
    request: Request[Any, Any, Any], lake: OpenLake, asset_id: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """The HLS playlist of a recording, its chunks as absolute signed URLs."""
    return await _playlist(request, lake, await find_asset(lake, asset_id, AUDIO), name)


async def _playlist(request: Request[Any, Any, Any], lake: Lake, asset: Asset, name: str) -> Response[bytes]:
    text = None
    if (match := _NAME.fullmatch(name)) is not None:
        sidecar, text = await lake.storage.read_many([asset.key("meta.json"), asset.key(f"stream/{name}")])
        meta = parse_meta(asset, sidecar)
        if not isinstance(meta, StreamedMeta) or match[1] not in meta.streams:
            text = None
    if text is None:
        raise Refused(404, f"{asset.kind} {asset.id} has no stream {name}")
    base = lake.base_url(request)
    signed = rewrite_uris(text.decode(), lambda key: lake.signed_url(base, "GET", f"/{key}", asset.owner))
    headers = {"Cache-Control": "private, max-age=60", "Vary": "Accept-Encoding"}
    content = signed.encode()
    if len(content) > WORTH_PACKING and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=PLAYLIST_TYPE, headers=headers)


@route("/{asset_id:str}/frames.npz", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def frame_index(request: Request[Any, Any, Any], lake: OpenLake, asset_id: FromPath[str]) -> Response[Any]:
    """The exact frame index."""
    asset = await find_asset(lake, asset_id, VIDEO)
    return await object_response(
        lake.storage, asset.key("frames.npz"), request, "application/octet-stream", "private, max-age=60"
    )


@route("/{asset_id:str}/samples.npz", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def video_samples(request: Request[Any, Any, Any], lake: OpenLake, asset_id: FromPath[str]) -> Response[Any]:
    """The exact sample index of a video's sound."""
    return await _samples(request, lake, await find_asset(lake, asset_id, VIDEO))


@route("/{asset_id:str}/samples.npz", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def audio_samples(request: Request[Any, Any, Any], lake: OpenLake, asset_id: FromPath[str]) -> Response[Any]:
    """The exact sample index of a recording."""
    return await _samples(request, lake, await find_asset(lake, asset_id, AUDIO))


async def _samples(request: Request[Any, Any, Any], lake: Lake, asset: Asset) -> Response[Any]:
    return await object_response(
        lake.storage, asset.key(SAMPLES), request, "application/octet-stream", "private, max-age=60"
    )


def streams_routers() -> list[Router]:
    """The routes below /videos and /audio that no other kind has."""
    return [
        Router("/videos", route_handlers=[playlist, frame_index, video_samples]),
        Router("/audio", route_handlers=[audio_playlist, audio_samples]),
    ]
