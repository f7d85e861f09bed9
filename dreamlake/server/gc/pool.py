"""Abandoned uploads, and staged files that no asset is made of.

A name in the pool is taken away before the file under it is deleted: its row says ``collecting``, and from then on
nobody can register it or begin to upload to it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, exists, select, tuple_, union, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.server.bss.pool import PoolKey, find_staged, hold_names
from dreamlake.server.errors import Refused
from dreamlake.server.gc.run import PAGE, Run, pages
from dreamlake.server.schema import bss_assets, namespaces, projects, staged, uploads
from dreamlake.server.storage import Listed, Pending, StorageDown, UnknownUploadError
from dreamlake.server.taskpool import run_all, to_the_end

__all__ = ["collect_parked", "collect_pending", "collect_staged", "collect_unnamed", "collect_uploads", "find_projects"]

_PARKED = re.compile(r"uploading/([0-9a-f]{32})")
# A bucket may hold other things too, and other lakes below a longer prefix.
_OURS = re.compile(
    r"uploading/[0-9a-f]{32}$|chunks/[0-9a-f]{16}|\.probe/[0-9a-f]{16}$|"
    r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*/(staging/[0-9a-f]{16}|(videos|audio|images|tracks/(labels|text))/[0-9a-f]{24}/)"
)
_STAGED = (staged.c.owner, staged.c.project, staged.c.hash)


async def find_projects(run: Run) -> None:
    """Note the projects that there are, before the last row that names one goes."""
    named = select(namespaces.c.slug, projects.c.slug).join(projects, projects.c.namespace_id == namespaces.c.id)
    tables = (staged, uploads, bss_assets)
    query = union(named, *(select(table.c.owner, table.c.project).distinct() for table in tables))
    async with run.lake.database.read() as connection, connection.stream(query) as found:
        async for part in found.partitions(PAGE):
            await run.marks.add_projects((owner, project) for owner, project in part)


# -- uploads ---------------------------------------------------------------------------------------------------------


async def collect_uploads(run: Run) -> None:
    """Forget the uploads that nobody has gone on with."""
    last = ""
    while rows := await _rows(run, uploads.c.id > last, uploads.c.used_at < run.before):
        last = rows[-1].id
        if run.dry_run:
            await run_all([partial(_end_upload, run, row, None) for row in rows])
            continue
        ended = []
        async with run.lake.database.write() as connection:
            await hold_names(connection, [PoolKey(row.owner, row.project, row.hash) for row in rows])
            for row in rows:
                # Who goes on with one renews it first, so that it is either his or ours.
                gone = uploads.delete().where(uploads.c.id == row.id, uploads.c.used_at < run.before)
                if (await connection.execute(gone)).rowcount:
                    key = PoolKey(row.owner, row.project, row.hash)
                    # A part that is the whole file may lie at its place in the pool already, and be complete.
                    ended.append((row, key if await _take_name(connection, key) else None))
        await run_all([partial(_end_upload, run, row, key) for row, key in ended])
        await _end_names(run, [key for _, key in ended if key is not None])


async def _rows(run: Run, *conditions: ColumnElement[bool]) -> Sequence[Any]:
    async with run.lake.database.read() as connection:
        query = select(uploads).where(*conditions).order_by(uploads.c.id).limit(PAGE)
        return (await connection.execute(query)).all()


async def _end_upload(run: Run, row: Any, taken: PoolKey | None) -> None:
    storage, key = run.lake.storage, PoolKey(row.owner, row.project, row.hash)
    parts, parked = await _size(run, Pending(row.target, row.storage_id, 0.0)), 0
    if row.target != str(key):
        parked = await storage.size(row.target) or 0
    elif taken is None and parts == await storage.size(row.target) and await _is_staged(run, key):
        parts = 0  # what came is in use: somebody else has completed an upload of the same
    if not run.dry_run:
        with suppress(UnknownUploadError):
            await to_the_end(lambda: storage.abort_upload(row.storage_id, row.target))
        if row.target != str(key):
            await to_the_end(lambda: storage.delete(row.target))
    run.report.uploads.add(parts + parked)


async def _size(run: Run, pending: Pending) -> int:
    """The bytes of the parts that have come."""
    try:
        return sum(part.size for part in await run.lake.storage.list_parts(pending.upload_id, pending.key))
    except UnknownUploadError:
        return 0


async def collect_pending(run: Run) -> None:
    """Abort what the storage knows as an upload and no row does: it was begun in the moment of a crash."""
    try:
        await _collect_pending(run)
    except StorageDown:
        raise
    except OSError as error:  # a store's policy may allow all else
        run.problem(f"uploads that the storage alone knows were left alone: {error.strerror or error}")


async def _collect_pending(run: Run) -> None:
    async for page in pages(run.lake.storage.list_uploads()):
        old = {upload.upload_id: upload for upload in page if upload.begun < run.before and _OURS.match(upload.key)}
        async with run.lake.database.read() as connection:
            query = select(uploads.c.storage_id).where(uploads.c.storage_id.in_(old))
            known = set((await connection.execute(query)).scalars())
        for upload_id in old.keys() - known:
            size = await _size(run, old[upload_id])
            if not run.dry_run:
                with suppress(UnknownUploadError):
                    await to_the_end(partial(run.lake.storage.abort_upload, upload_id, old[upload_id].key))
            run.report.uploads.add(size)


async def collect_parked(run: Run) -> None:
    """Delete uploads that were joined, and neither read nor moved into the pool, and whose row has gone since."""
    async for page in pages(run.lake.storage.list_objects("uploading/")):
        old = {
            match[1]: found
            for found in page
            if found.modified < run.before and (match := _PARKED.fullmatch(found.key))  # a namespace may be called so
        }
        async with run.lake.database.read() as connection:
            known = set((await connection.execute(select(uploads.c.id).where(uploads.c.id.in_(old)))).scalars())
        for upload_id in old.keys() - known:
            await run.delete_old(old[upload_id], run.report.uploads)


# -- the pool --------------------------------------------------------------------------------------------------------


async def collect_staged(run: Run) -> None:
    """Delete staged files that no asset is made of, and that nobody has asked for in a day."""
    await _collect_rows(run, staged.c.collecting)  # which a run that was interrupted has left
    await _collect_rows(run, *_unused(run))


async def _collect_rows(run: Run, *conditions: ColumnElement[bool]) -> None:
    last: tuple[str, ...] = ()
    while rows := await _candidates(run, last, *conditions):
        last = tuple(rows[-1])[:3]
        if not run.dry_run:
            async with run.lake.database.write() as connection:
                await hold_names(connection, [PoolKey(*tuple(row)[:3]) for row in rows])
                query = update(staged).where(tuple_(*_STAGED).in_([tuple(row)[:3] for row in rows]), *conditions)
                taken = await connection.execute(query.values(collecting=True).returning(*_STAGED, staged.c.size))
                rows = taken.all()
            await _end_names(run, [PoolKey(row.owner, row.project, row.hash) for row in rows])
        for row in rows:
            run.report.staged.add(row.size)


def _unused(run: Run) -> list[ColumnElement[bool]]:
    uploading = _same(uploads)
    if run.dry_run:
        uploading.append(uploads.c.used_at >= run.before)  # the others would have gone before
    return [
        ~staged.c.collecting, staged.c.used_at < run.before, staged.c.created_at < run.before,
        ~exists().where(*_same(bss_assets)), ~exists().where(*uploading),
    ]  # fmt: skip


def _same(table: Any) -> list[ColumnElement[bool]]:
    """Which of its rows are about a staged file."""
    return [table.c[column.name] == column for column in _STAGED]


async def _candidates(run: Run, last: tuple[str, ...], *conditions: ColumnElement[bool]) -> Sequence[Any]:
    query = select(*_STAGED, staged.c.size).where(*conditions).order_by(*_STAGED).limit(PAGE)
    if last:
        query = query.where(tuple_(*_STAGED) > tuple_(*last))
    async with run.lake.database.read() as connection:
        return (await connection.execute(query)).all()


async def collect_unnamed(run: Run) -> None:
    """Delete files in the pool that no row knows: they came too late, for an upload that was abandoned."""
    async for owner, project in run.marks.projects():
        async for page in pages(run.lake.storage.list_objects(f"{owner}/{project}/staging/")):
            await _end_unnamed(run, [found for found in page if found.modified < run.before])


async def _end_unnamed(run: Run, page: list[Listed]) -> None:
    found = {}
    for listed in page:
        with suppress(Refused):  # no name that anything is staged under
            found[PoolKey.parse(listed.key)] = listed
    async with run.lake.database.read() as connection:
        unknown = [key for key in found if not await _is_known(connection, key)]
    if unknown and not run.dry_run:
        async with run.lake.database.write() as connection:
            await hold_names(connection, unknown)
            unknown = [key for key in unknown if await _take_name(connection, key)]
        await _end_names(run, unknown)
    for key in unknown:
        run.report.staged.add(found[key].size)


async def _is_known(connection: AsyncConnection, key: PoolKey) -> bool:
    for table in (staged, uploads, bss_assets):
        if (await connection.execute(select(table.c.owner).where(*key.rows(table)).limit(1))).first() is not None:
            return True
    return False


async def _take_name(connection: AsyncConnection, key: PoolKey) -> bool:
    """Take a name that nobody else has and we hold, so that nobody uses it until what is under it is deleted."""
    if await _is_known(connection, key):
        return False
    row = {"owner": key.owner, "project": key.project, "hash": key.hash, "sha256": key.hash, "size": 0}
    await connection.execute(staged.insert().values(**row, used_at=0.0, created_at=time.time(), collecting=True))
    return True


async def _end_names(run: Run, keys: Sequence[PoolKey]) -> None:
    """Delete what is under names that are ours, and give them back."""
    await run_all([partial(to_the_end, partial(run.lake.storage.delete, str(key))) for key in keys])
    if keys:
        async with run.lake.database.write() as connection:
            await hold_names(connection, keys)
            names = [(key.owner, key.project, key.hash) for key in keys]
            await connection.execute(staged.delete().where(staged.c.collecting, tuple_(*_STAGED).in_(names)))


async def _is_staged(run: Run, key: PoolKey) -> bool:
    async with run.lake.database.read() as connection:
        return bool(await find_staged(connection, [key]))
