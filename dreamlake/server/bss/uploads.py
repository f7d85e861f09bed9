"""Multipart uploads into the staging pool (seed 4): the same protocol for every kind, only the prefix differs."""

from __future__ import annotations

import base64
import binascii
import re
import time
from hashlib import sha256
from typing import Annotated, Any

from litestar import Request, Response, Router, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from dreamlake.core.kinds import KINDS
from dreamlake.core.wire import (
    CompleteUpload,
    InitUpload,
    PartsDone,
    SignedParts,
    SignParts,
    Success,
    UploadStarted,
    UploadTarget,
)
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake, verified
from dreamlake.server.schema import staged
from dreamlake.server.sidecar import staging_key
from dreamlake.server.storage import Staged, StorageError, UnknownUploadError

__all__ = ["multipart_router", "put_part"]

_KEY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})/([A-Za-z0-9][A-Za-z0-9._-]{0,99})/staging/([0-9a-f]{16})")


@post("/init", status_code=200)
async def init(data: JSONBody[InitUpload], lake: OpenLake) -> UploadStarted:
    """Begin an upload, or say that the same bytes are staged already."""
    if data.owner == "chunks":
        raise Refused(400, "chunks is the name of the lake's own folder, and cannot be a namespace")
    if data.sha256 is not None and not data.sha256.startswith(data.hash):
        raise Refused(400, "hash is the first 16 digits of sha256, and these two differ")
    key = staging_key(data.owner, data.project, data.hash)
    known = await find_staged(lake, data.owner, data.project, data.hash)
    if known is not None and data.sha256 not in (None, known.sha256):
        raise Refused(409, f"{key} holds other bytes whose SHA-256 begins with the same 16 digits")
    if known is not None and data.sha256 == known.sha256:
        return UploadStarted(upload_id="", key=key, exists=True)
    await lake.runner.warm()
    return UploadStarted(upload_id=await lake.storage.begin_upload(key), key=key)


@post("/parts", status_code=200)
async def parts(request: Request[Any, Any, Any], data: JSONBody[SignParts], lake: OpenLake) -> SignedParts:
    """Presigned URLs to PUT parts to."""
    owner = _parse_key(data.key)[0]
    try:
        await lake.storage.list_parts(data.upload_id, data.key)
    except UnknownUploadError as error:
        raise Refused(404, str(error)) from None
    base = lake.base_url(request)
    urls = {}
    for number in data.part_numbers:
        extra = {"target": data.key}
        checksum = (data.checksums or {}).get(str(number))
        digest = _checksum(checksum) if checksum else None
        direct = await lake.storage.sign_part(data.upload_id, data.key, number, digest)
        if direct is not None:
            urls[str(number)] = direct
            continue
        if checksum:
            extra["sha256"] = checksum
        urls[str(number)] = lake.signed_url(base, "PUT", f"/uploads/{data.upload_id}/{number}", owner, extra)
    return SignedParts(urls)


@get("/parts-done")
async def parts_done(
    lake: OpenLake, upload_id: Annotated[str, QueryParameter(name="uploadId")], key: FromQuery[str]
) -> PartsDone:
    """Which parts have come; ``expired`` when the upload is not known any more."""
    _parse_key(key)
    try:
        return PartsDone(expired=False, parts=await lake.storage.list_parts(upload_id, key))
    except UnknownUploadError:
        return PartsDone(expired=True, parts=[])


@post("/complete", status_code=200)
async def complete(data: JSONBody[CompleteUpload], lake: OpenLake) -> Success:
    """Join the parts. The bytes must be those whose hash the key carries, else nothing changes."""
    owner, project, digest = _parse_key(data.key)
    try:
        joined = await lake.storage.complete_upload(data.upload_id, data.key, data.parts, digest)
    except UnknownUploadError as error:
        # The answer to an earlier try may have been lost: then the object is there.
        if await find_staged(lake, owner, project, digest) is not None:
            return Success()
        if await lake.storage.size(data.key) is None:
            raise Refused(404, str(error)) from None
        joined = await _measure(lake, data.key)
    except StorageError as error:
        raise Refused(400, str(error)) from None
    if joined.sha256 is None:
        joined = await _measure(lake, data.key)
    async with lake.database.write() as connection:
        row = {"owner": owner, "project": project, "hash": digest, "sha256": joined.sha256, "size": joined.size}
        await connection.execute(insert(staged).values(**row, created_at=time.time()).on_conflict_do_nothing())
    return Success()


@post("/abort", status_code=200)
async def abort(data: JSONBody[UploadTarget], lake: OpenLake) -> Success:
    """Forget an upload and its parts."""
    _parse_key(data.key)
    try:
        await lake.storage.abort_upload(data.upload_id, data.key)
    except UnknownUploadError as error:
        raise Refused(404, str(error)) from None
    return Success()


@put("/uploads/{upload_id:str}/{number:int}", status_code=200, request_max_body_size=None)
async def put_part(
    request: Request[Any, Any, Any], lake: OpenLake, upload_id: FromPath[str], number: FromPath[int]
) -> Response[None]:
    """The bytes of one part, to a presigned URL."""
    verified(lake, request)
    query = request.query_params
    if int(request.headers.get("content-length") or 0) > lake.settings.max_part_bytes:
        raise Refused(413, f"a part has at most {lake.settings.max_part_bytes} bytes")
    checksum = query.get("sha256")
    body = _limited(request, lake.settings.max_part_bytes)
    try:
        etag = await lake.storage.write_part(
            upload_id, query["target"], number, body, _checksum(checksum) if checksum else None
        )
    except UnknownUploadError as error:
        raise Refused(404, str(error)) from None
    except StorageError as error:
        raise Refused(400, str(error)) from None
    return Response(None, headers={"ETag": etag})


def multipart_router() -> Router:
    """The multipart routes below every kind's prefix."""
    handlers = [init, parts, parts_done, complete, abort]
    prefixes = [kind.route for kind in KINDS] + ["image"]
    routers = [Router(f"/{prefix}/upload/multipart", route_handlers=handlers) for prefix in prefixes]
    return Router("/", route_handlers=routers)


async def find_staged(lake: Lake, owner: str, project: str, digest: str) -> Staged | None:
    """What is staged under a hash."""
    where = (staged.c.owner == owner, staged.c.project == project, staged.c.hash == digest)
    async with lake.database.read() as connection:
        row = (await connection.execute(select(staged.c.sha256, staged.c.size).where(*where))).first()
    return None if row is None else Staged(row.sha256, row.size)


async def _measure(lake: Lake, key: str) -> Staged:
    """Digest and size of an object whose row a crash has swallowed."""
    size = await lake.storage.size(key) or 0
    digest = sha256()
    async for block in lake.storage.stream(key, 0, size):
        digest.update(block)
    return Staged(digest.hexdigest(), size)


async def _limited(request: Request[Any, Any, Any], limit: int) -> Any:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise Refused(413, f"a part has at most {limit} bytes")
        yield piece


def _parse_key(key: str) -> tuple[str, str, str]:
    match = _KEY.fullmatch(key)
    if match is None:
        raise Refused(400, "key is {owner}/{project}/staging/{hash}, as init gave it")
    return match[1], match[2], match[3]


def _checksum(text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise Refused(400, f"{text!r} is not a SHA-256 in base64")
    return digest
