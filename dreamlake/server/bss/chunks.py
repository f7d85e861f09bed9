"""Chunks: the segments that all assets share, to signed URLs only."""

from __future__ import annotations

import re
from typing import Any

from litestar import HttpMethod, Request, Response, route
from litestar.params import FromPath

from dreamlake.server.access import SIGNED
from dreamlake.server.bss.objects import IMMUTABLE, object_response
from dreamlake.server.errors import Refused
from dreamlake.server.lake import OpenLake, verified

__all__ = ["chunk"]

_NAME = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{48})?\.(ts|m4s|mp4|jsonl|vtt)")
_TYPES = {
    "ts": "video/mp2t",
    "m4s": "video/iso.segment",
    "mp4": "video/mp4",
    "jsonl": "application/x-ndjson",
    "vtt": "text/vtt",
}


@route("/chunks/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD], opt=SIGNED)
async def chunk(request: Request[Any, Any, Any], lake: OpenLake, name: FromPath[str]) -> Response[Any]:
    """The bytes of one chunk."""
    verified(lake, request)
    match = _NAME.fullmatch(name)
    if match is None:
        raise Refused(404, "there is no such chunk")
    return await object_response(lake.storage, f"chunks/{name}", request, _TYPES[match[1]], IMMUTABLE)
