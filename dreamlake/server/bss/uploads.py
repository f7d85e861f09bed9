"""Multipart uploads into the staging pool (seed 4): the same protocol for every kind, only the prefix differs."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, Router, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from dreamlake.core.kinds import KINDS
from dreamlake.core.wire import Success
from dreamlake.core.wireuploads import (
    CompleteUpload,
    InitUpload,
    PartsDone,
    SignedParts,
    SignParts,
    UploadStarted,
    UploadTarget,
)
from dreamlake.server.access import SIGNED
from dreamlake.server.bss import pool
from dreamlake.server.bss.pool import PoolKey, UploadRow
from dreamlake.server.bss.staging import begin, finish, parse_checksum, signed_parts
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake, verified
from dreamlake.server.storage import StorageError, UnknownUploadError

__all__ = ["multipart_router", "put_part"]


@post("/init", status_code=200)
async def init(request: Request[Any, Any, Any], data: JSONBody[InitUpload], lake: OpenLake) -> UploadStarted:
    """Begin an upload, or say that the same bytes are staged already."""
    [started] = await begin(lake, [data], lake.base_url(request))
    if isinstance(started, Refused):
        raise started
    if not started.exists:
        await lake.runner.warm()
    return started


@post("/parts", status_code=200)
async def parts(request: Request[Any, Any, Any], data: JSONBody[SignParts], lake: OpenLake) -> SignedParts:
    """Presigned URLs to PUT parts to."""
    row = await _known(lake, data)
    if not await pool.keep(lake.database, row):
        raise _gone()
    checksums = data.checksums or {}
    if row.target == str(row.key) and (missing := {str(number) for number in data.part_numbers} - checksums.keys()):
        raise Refused(400, f"part {min(missing, key=int)} was promised with its checksum, and comes without")
    wanted = {str(number): checksums.get(str(number)) for number in data.part_numbers}
    return SignedParts(await signed_parts(lake, lake.base_url(request), row, wanted))


@get("/parts-done")
async def parts_done(
    lake: OpenLake, upload_id: Annotated[str, QueryParameter(name="uploadId")], key: FromQuery[str]
) -> PartsDone:
    """Which parts have come; ``expired`` when the upload is not known any more."""
    place = PoolKey.parse(key)
    lake.caller.admit(place.owner)
    row = await pool.find_upload(lake.database, upload_id, place)
    if row is None:
        return PartsDone(expired=True, parts=[])
    try:
        return PartsDone(expired=False, parts=await lake.storage.list_parts(row.storage_id, row.target))
    except UnknownUploadError:
        return PartsDone(expired=True, parts=[])


@post("/complete", status_code=200)
async def complete(data: JSONBody[CompleteUpload], lake: OpenLake) -> Success:
    """Join the parts. The bytes must be those whose hash the key carries, else nothing changes."""
    [refused] = await finish(lake, [data])
    if refused is not None:
        raise refused
    return Success()


@post("/abort", status_code=200)
async def abort(data: JSONBody[UploadTarget], lake: OpenLake) -> Success:
    """Forget an upload and its parts."""
    row = await _known(lake, data)
    try:
        await lake.storage.abort_upload(row.storage_id, row.target)
    except UnknownUploadError as error:
        raise Refused(404, str(error)) from None
    finally:
        async with lake.database.write() as connection:
            await pool.forget(connection, row.id)
    return Success()


@put("/uploads/{upload_id:str}/{number:int}", status_code=200, request_max_body_size=None, opt=SIGNED)
async def put_part(
    request: Request[Any, Any, Any], lake: OpenLake, upload_id: FromPath[str], number: FromPath[int]
) -> Response[None]:
    """The bytes of one part, to a presigned URL of a storage that is reached through the lake alone."""
    namespace = verified(lake, request)
    query = request.query_params
    if int(request.headers.get("content-length") or 0) > lake.settings.max_part_bytes:
        raise Refused(413, f"a part has at most {lake.settings.max_part_bytes} bytes")
    checksum = query.get("sha256")
    body = _limited(request, lake.settings.max_part_bytes)
    try:
        with lake.transfers.one_more(namespace):
            etag = await lake.storage.write_part(
                upload_id, query.get("target", ""), number, body, parse_checksum(checksum) if checksum else None
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


async def _known(lake: Lake, data: UploadTarget) -> UploadRow:
    key = PoolKey.parse(data.key)
    lake.caller.admit(key.owner)
    row = await pool.find_upload(lake.database, data.upload_id, key)
    if row is None:
        raise _gone()
    return row


def _gone() -> Refused:
    return Refused(404, "there is no such upload, or no longer")


async def _limited(request: Request[Any, Any, Any], limit: int) -> Any:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limit:
            raise Refused(413, f"a part has at most {limit} bytes")
        yield piece
