"""What only videos and sound have: the frame index and the sample index."""

from __future__ import annotations

from typing import Any

from litestar import HttpMethod, Request, Response, Router, route
from litestar.params import FromPath

from dreamlake.core.kinds import AUDIO, VIDEO
from dreamlake.server.bss.assets import find_asset
from dreamlake.server.bss.objects import object_response
from dreamlake.server.lake import Lake, OpenLake
from dreamlake.server.sidecar import SAMPLES, Asset

__all__ = ["indexes_routers"]


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


def indexes_routers() -> list[Router]:
    """The routes below /videos and /audio that no other kind has."""
    return [
        Router("/videos", route_handlers=[frame_index, video_samples]),
        Router("/audio", route_handlers=[audio_samples]),
    ]
