"""Beginning and completing uploads into the staging pool, one or many in one transaction.

Bytes go straight to their place in the pool when they were announced with their SHA-256, each part is to come with its
own, and the storage refuses a part that differs. Otherwise they go to a place of their own, are read when they are
complete, and are moved into the pool if they are what their name says.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256

from sqlalchemy import func, select, update

from dreamlake.core.parts import HASH_DIGITS
from dreamlake.core.wireuploads import CompleteUpload, InitUpload, UploadStarted
from dreamlake.server.bss import pool
from dreamlake.server.bss.pool import PoolKey, UploadRow, Verified
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake
from dreamlake.server.schema import uploads
from dreamlake.server.storage import Staged, StorageError, UnknownUploadError
from dreamlake.server.taskpool import run_all

__all__ = ["begin", "finish", "parse_checksum", "signed_parts"]


async def begin(lake: Lake, items: Sequence[InitUpload], base: str) -> list[UploadStarted | Refused]:
    """Begin uploads, or say that the same bytes are staged already.

    Args:
        lake: that takes them.
        items: what is announced.
        base: of the URLs in the answers.

    Returns:
        What became of each; one that is refused does not hold up the others.
    """
    answers: dict[int, UploadStarted | Refused] = {}
    busy = await _busy(lake, {item.owner for item in items})
    for number, item in enumerate(items):
        if (refused := _check(lake, item) or busy.get(item.owner)) is not None:
            answers[number] = refused
    checks = await lake.storage.checks_parts()
    while waiting := {number: item for number, item in enumerate(items) if number not in answers}:
        async with lake.database.read() as connection:
            places = dict(zip(waiting, await pool.reserve(connection, _wanted(waiting.values())), strict=True))
        planned = {
            number: _planned(waiting[number], key, direct=checks and _promises_checksums(waiting[number]))
            for number, (key, there) in places.items()
            if not there
        }
        # Not within a transaction: the storage may be slow, and all writers would wait for it.
        begin_all = [partial(_begin_in_storage, lake, row, waiting[number]) for number, row in planned.items()]
        rows = dict(zip(planned, await run_all(begin_all), strict=True))
        async with lake.database.write() as connection:
            await pool.hold_names(connection, [key for key, _ in places.values()])
            still = dict(zip(waiting, await pool.reserve(connection, _wanted(waiting.values())), strict=True))
            known = [number for number, place in still.items() if place[1] and place == places[number]]
            await pool.use(connection, [still[number][0] for number in known])
            ours = {number: row for number, row in rows.items() if still[number] == (row.key, False)}
            await pool.remember(connection, list(ours.values()))
        for number in known:
            answers[number] = UploadStarted(upload_id="", key=str(still[number][0]), exists=True)
        for number, row in rows.items():
            if number in ours:
                urls = await signed_parts(lake, base, row, waiting[number].checksums or {})
                answers[number] = UploadStarted(row.id, str(row.key), parts=urls)
            else:  # somebody has promised that name to other bytes meanwhile, or staged the same
                await lake.storage.abort_upload(row.storage_id, row.target)
    return [answers[number] for number in range(len(items))]


async def _busy(lake: Lake, owners: set[str]) -> dict[str, Refused]:
    """The namespaces that have begun more than they finish."""
    most = lake.settings.max_uploads
    query = select(uploads.c.owner).where(uploads.c.owner.in_(owners)).group_by(uploads.c.owner)
    async with lake.database.read() as connection:
        found = (await connection.scalars(query.having(func.count() >= most))).all()
    detail = "has {} uploads under way: finish or abort some, or have gc forget what was given up".format
    return {owner: Refused(429, f"{owner} {detail(most)}", {"Retry-After": "60"}) for owner in found}


def _check(lake: Lake, item: InitUpload) -> Refused | None:
    if not lake.caller.owns(item.owner):
        return Refused(404, f"there is no namespace {item.owner}")
    if item.owner == "chunks":
        return Refused(400, "chunks is the name of the lake's own folder, and cannot be a namespace")
    if item.sha256 is not None and not item.sha256.startswith(item.hash):
        return Refused(400, "hash is the first 16 digits of sha256, and these two differ")
    return None


def _wanted(items: Iterable[InitUpload]) -> list[tuple[PoolKey, str | None]]:
    return [(PoolKey(item.owner, item.project, item.hash), item.sha256) for item in items]


def _promises_checksums(item: InitUpload) -> bool:
    return item.sha256 is not None and item.checksums is not None


def _planned(item: InitUpload, key: PoolKey, *, direct: bool) -> UploadRow:
    upload_id = secrets.token_hex(16)
    return UploadRow(upload_id, key, str(key) if direct else f"uploading/{upload_id}", "", item.sha256, time.time())


async def _begin_in_storage(lake: Lake, row: UploadRow, item: InitUpload) -> UploadRow:
    whole = item.size is not None and item.part_size is not None and item.size <= item.part_size
    one_part = whole and row.target == str(row.key)
    return replace(row, storage_id=await lake.storage.begin_upload(row.target, one_part=one_part))


async def finish(lake: Lake, items: Sequence[CompleteUpload]) -> list[Refused | None]:
    """Join the parts of uploads into the pool; again after a lost answer does no harm.

    Returns:
        For each None, or why it was refused, which does not hold up the others.
    """
    # A client may ask again before it is done, and another server.
    async with lake.database.alone(f"upload/{item.upload_id}" for item in items):
        keys = {item.upload_id: PoolKey.parse(item.key) for item in items}
        rows = await pool.find_uploads(lake.database, keys)
        joined = await run_all([partial(_joined, lake, item, rows.get(item.upload_id)) for item in items])
        async with lake.database.write() as connection:
            await pool.commit(connection, [found for found in joined if isinstance(found, tuple)])
    return [found if isinstance(found, Refused) else None for found in joined]


async def _joined(
    lake: Lake, item: CompleteUpload, row: UploadRow | None
) -> tuple[UploadRow, Verified] | Refused | None:
    """The bytes of an upload in their place in the pool; None when it was complete already."""
    try:
        key = PoolKey.parse(item.key)
        lake.caller.admit(key.owner)
        if row is None or not await pool.keep(lake.database, row):
            # The answer to an earlier try may have been lost: then the bytes are there.
            async with lake.database.write() as connection:
                await pool.hold_names(connection, [key])
                if not await pool.use(connection, [key]):
                    raise Refused(404, "there is no such upload, or no longer")
            return None
        place, found = await _join(lake, row, item)
        if place != str(key):
            await _move(lake, row, found.sha256)
    except FileNotFoundError:
        return Refused(503, "the same upload is being completed; try again", {"Retry-After": "1"})
    except Refused as refused:
        return refused
    return row, found


async def _join(lake: Lake, row: UploadRow, data: CompleteUpload) -> tuple[str, Verified]:
    """Join the parts, and make sure that the bytes are those that were announced; where they lie, and what they are."""
    place = row.target
    try:
        joined = await lake.storage.complete_upload(row.storage_id, place, data.parts, row.sha256 or row.key.hash)
    except UnknownUploadError as error:
        # It may have been joined, and moved, and what came after that was swallowed by a crash.
        sizes = {there: await lake.storage.size(there) for there in (row.target, str(row.key))}
        place, size = next(((there, size) for there, size in sizes.items() if size is not None), (place, None))
        if size is None:
            async with lake.database.write() as connection:
                await pool.forget(connection, row.id)
            raise Refused(404, str(error)) from None
        joined = Staged(None, size)
    except StorageError as error:
        raise Refused(400, str(error)) from None
    digest = joined.sha256
    if digest is None and row.target == str(row.key):
        digest = row.sha256  # the storage has compared every part with what was announced
    digest = digest or await _measure(lake, place)
    if not digest.startswith(row.sha256 or row.key.hash):
        await _discard(lake, row)
        raise Refused(400, "the bytes that came are not the ones that were announced: their SHA-256 differs")
    return place, Verified(digest, joined.size)


async def _move(lake: Lake, row: UploadRow, digest: str) -> None:
    """Bring what was read into the pool, under the name that it was promised."""
    async with lake.database.write() as connection:
        short = replace(row.key, hash=digest[:HASH_DIGITS])
        await pool.hold_names(connection, [short])
        [(key, there)] = await pool.reserve(connection, [(short, digest)])
        if key == row.key:
            # From here on the name is promised to these bytes, as if they had been announced.
            await connection.execute(update(uploads).where(uploads.c.id == row.id).values(sha256=digest))
    if key != row.key:
        await _discard(lake, row)
        raise Refused(409, f"{row.key} holds other bytes: announce sha256, and they get a name of their own")
    if there:
        await lake.storage.delete(row.target)
    else:
        await lake.storage.move(row.target, str(row.key))


async def _discard(lake: Lake, row: UploadRow) -> None:
    """Forget an upload whose bytes are not what they should be."""
    if row.target != str(row.key):
        await lake.storage.delete(row.target)
    async with lake.database.write() as connection:
        await pool.forget(connection, row.id)


async def _measure(lake: Lake, key: str) -> str:
    """The digest of an object's bytes."""
    digest = sha256()
    async for block in lake.storage.stream(key, 0, await lake.storage.size(key) or 0):
        digest.update(block)
    return digest.hexdigest()


async def signed_parts(lake: Lake, base: str, row: UploadRow, checksums: Mapping[str, str | None]) -> dict[str, str]:
    """A URL for every part: the storage's own where it can be reached, else one of this lake."""
    urls = {}
    for number, checksum in checksums.items():
        digest = None if checksum is None else parse_checksum(checksum)
        url = await lake.storage.sign_part(row.storage_id, row.target, int(number), digest)
        if url is None:
            extra = {"target": row.target, **({} if checksum is None else {"sha256": checksum})}
            path = f"/uploads/{row.storage_id}/{number}"
            url = lake.signed_url(base, "PUT", path, row.key.owner, extra)
        urls[number] = url
    return urls


def parse_checksum(text: str) -> bytes:
    """A SHA-256 as it comes over the wire."""
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise Refused(400, f"{text!r} is not a SHA-256 in base64")
    return digest
