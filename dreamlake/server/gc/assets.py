"""Chunks that no asset names, and what deleted assets have left.

First everything that is in use is marked, then what is old and not marked goes. What comes into use after that is
young: a job touches every chunk that it finds there already, and has a last look at them before it is done.
"""

from __future__ import annotations

import re
from functools import partial

import msgspec
from sqlalchemy import select

from dreamlake.core.kinds import KINDS
from dreamlake.core.playlist import parse_playlist
from dreamlake.core.wireassets import METAS, AssetMeta, StreamedMeta
from dreamlake.core.wireupkeep import Freed
from dreamlake.errors import MediaError
from dreamlake.server.gate import chunk_gate
from dreamlake.server.gc.run import PAGE, Run, pages
from dreamlake.server.lambdas.jobs import is_deleted, job_states
from dreamlake.server.schema import bss_assets
from dreamlake.server.sidecar import Asset
from dreamlake.server.storage import Listed, StorageError
from dreamlake.server.taskpool import TaskPool

__all__ = ["collect_chunks", "collect_leftovers", "mark_assets"]

AT_ONCE = 8
_CHUNK = re.compile(r"chunks/[0-9a-f]{16}(?:[0-9a-f]{48})?\.[a-z0-9]+")
_OWN = re.compile(r"([0-9a-f]{24})/(.+)", re.DOTALL)
_STREAMED = [name for name, meta in METAS.items() if issubclass(meta, StreamedMeta)]


class _Unreadable(Exception):
    """What an asset uses cannot be known."""


async def mark_assets(run: Run) -> bool:
    """Mark the playlists of all assets and what they name; False when one cannot be read."""
    before, last = len(run.report.problems), ""
    while True:
        async with run.lake.database.read() as connection:
            query = select(bss_assets).where(bss_assets.c.id > last, bss_assets.c.kind.in_(_STREAMED))
            rows = (await connection.execute(query.order_by(bss_assets.c.id).limit(PAGE))).all()
        if not rows:
            return len(run.report.problems) == before
        last = rows[-1].id
        async with TaskPool(AT_ONCE) as pool:
            for row in rows:
                await pool.start(partial(_mark, run, Asset(**row._mapping)))
        if len(run.report.problems) > before:
            return False


async def _mark(run: Run, asset: Asset) -> None:
    try:
        await _mark_streams(run, asset)
    except (OSError, StorageError, MediaError, msgspec.MsgspecError, UnicodeDecodeError, _Unreadable) as error:
        if await is_deleted(run.lake.database, asset.id):
            return
        what = f"{asset.kind_info.phrase} {asset.owner}/{asset.project}{asset.name} ({asset.id})"
        run.problem(f"no chunks were collected: what {what} uses cannot be read: {error}")


async def _mark_streams(run: Run, asset: Asset) -> None:
    storage = run.lake.storage
    async with run.lake.database.read() as connection:
        state = (await job_states(connection, [asset.id])).get(asset.id)
    try:
        data = await storage.read(asset.key("meta.json"))
    except FileNotFoundError:
        if state is not None and state.state == "done":
            raise
        return  # not processed yet: whatever it is going to use will be young
    meta: AssetMeta = msgspec.json.decode(data, type=METAS[asset.kind])
    for stream in meta.streams if isinstance(meta, StreamedMeta) else []:
        key = asset.key(f"stream/{stream}.m3u8")
        playlist = parse_playlist((await storage.read(key)).decode())
        used = [*playlist.uris, *([playlist.init] if playlist.init else [])]
        if strange := [name for name in used if not _CHUNK.fullmatch(name)]:
            raise _Unreadable(f"{key} names {strange[0]!r}, which is no chunk")
        await run.marks.keep([key, *used])


async def collect_chunks(run: Run) -> None:
    """Delete the chunks that are not marked."""
    async for page in pages(run.lake.storage.list_objects("chunks/")):
        old = {found.key: found for found in page if found.modified < run.before and _CHUNK.fullmatch(found.key)}
        unkept = await run.marks.unkept(list(old))
        await _delete(run, [old[key] for key in unkept], run.report.chunks)


async def collect_leftovers(run: Run, *, marked: bool) -> None:
    """Delete the objects of assets that are not there any more, and, when all is marked, unmarked playlists."""
    async for owner, project in run.marks.projects():
        for kind in KINDS:
            prefix = f"{owner}/{project}/{kind.folder}/"
            async for page in pages(run.lake.storage.list_objects(prefix)):
                await _collect_leftovers(run, prefix, page, marked=marked)


async def _collect_leftovers(run: Run, prefix: str, page: list[Listed], *, marked: bool) -> None:
    old = {
        found.key: (found, match[1], match[2])
        for found in page
        if found.modified < run.before and (match := _OWN.fullmatch(found.key.removeprefix(prefix)))
    }
    async with run.lake.database.read() as connection:
        query = select(bss_assets.c.id).where(bss_assets.c.id.in_({asset_id for _, asset_id, _ in old.values()}))
        there = set((await connection.execute(query)).scalars())
    left = {key for key, (_, asset_id, _) in old.items() if asset_id not in there}
    if marked:
        playlists = [key for key, (_, _, name) in old.items() if name.startswith("stream/") and name.endswith(".m3u8")]
        left |= await run.marks.unkept(playlists)
    await _delete(run, [old[key][0] for key in sorted(left)], run.report.leftovers)


async def _delete(run: Run, page: list[Listed], freed: Freed) -> None:
    if not page:
        return
    async with chunk_gate(run.lake.storage.scratch, alone=True), TaskPool(AT_ONCE) as pool:
        for found in page:
            await pool.start(partial(run.delete_old, found, freed))
