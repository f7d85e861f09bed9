"""What only videos have: the frame index."""

from __future__ import annotations

from typing import Any

from litestar import HttpMethod, Request, Response, Router, route
from litestar.params import FromPath

from dreamlake.core.kinds import VIDEO
from dreamlake.server.bss.assets import find_asset
from dreamlake.server.bss.objects import object_response
from dreamlake.server.lake import OpenLake

__all__ = ["videos_router"]


@route("/{asset_id:str}/frames.npz", http_method=[HttpMethod.GET, HttpMethod.HEAD])
async def frame_index(request: Request[Any, Any, Any], lake: OpenLake, asset_id: FromPath[str]) -> Response[Any]:
    """The exact frame index."""
    asset = await find_asset(lake, asset_id, VIDEO)
    return await object_response(
        lake.storage, asset.key("frames.npz"), request, "application/octet-stream", "private, max-age=60"
    )


def videos_router() -> Router:
    """The routes below /videos that no other kind has."""
    return Router("/videos", route_handlers=[frame_index])
