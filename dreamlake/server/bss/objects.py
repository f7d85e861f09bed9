"""Answering with the bytes of an object: whole or in ranges, streamed, cacheable (RFC 9110, 14).

A storage whose bytes can be had directly gives them itself: the lake answers where.
"""

from __future__ import annotations

import re
from typing import Any

from litestar import Request, Response
from litestar.response import Stream

from dreamlake.server.errors import Refused
from dreamlake.server.storage import URL_SECONDS, Storage

__all__ = ["IMMUTABLE", "object_response"]

IMMUTABLE = "public, max-age=31536000, immutable"
# A browser asks again long before the URL that it was sent to has expired; nobody else may keep it.
REDIRECT = f"private, max-age={URL_SECONDS // 4}"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


async def object_response(
    storage: Storage, key: str, request: Request[Any, Any, Any], media_type: str, cache: str
) -> Response[Any]:
    """The object, or the range of it that was asked for; or where to get it, without looking whether it is there.

    Raises:
        Refused: 404 when there is none, 416 when the range lies outside of it.
    """
    # What is signed is a GET: a HEAD is answered here.
    url = None if request.method == "HEAD" else await storage.sign_get(key, media_type)
    if url is not None:
        return Response(
            b"", status_code=307, media_type=media_type, headers={"Location": url, "Cache-Control": REDIRECT}
        )
    size = await storage.size(key)
    if size is None:
        raise Refused(404, "there is no such object")
    etag = f'"{key.rsplit("/", 1)[-1]}-{size}"'
    headers = {"Accept-Ranges": "bytes", "Cache-Control": cache, "ETag": etag}
    if etag in request.headers.get("if-none-match", ""):
        return Response(None, status_code=304, headers=headers)
    unchanged = request.headers.get("if-range", etag) == etag
    asked = _asked_range(request.headers.get("range") if unchanged else None, size)
    start, stop = asked or (0, size)
    if asked is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    status = 200 if asked is None else 206
    if request.method == "HEAD":
        return Response(b"", status_code=status, headers=headers, media_type=media_type)
    return Stream(storage.stream(key, start, stop), status_code=status, headers=headers, media_type=media_type)


def _asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """[start, stop) of a single range; None for the whole, and for what need not be understood."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or (not match[1] and not match[2]):
        return None
    if match[1]:
        start, stop = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
    else:
        start, stop = max(0, size - int(match[2])), size
    if start >= stop:
        raise Refused(416, f"the range {header} lies outside of {size} bytes", {"Content-Range": f"bytes */{size}"})
    return start, stop
