"""label-process and text-process: from an uploaded track to chunks, playlists and what there is to say of it (seed 3).

It may be run any number of times: everything it writes is named by its content, and ``meta.json``, which says that
the track is ready, comes last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256

from anyio import to_thread
from msgspec import UNSET

from dreamlake.core.kinds import LABEL_TRACK
from dreamlake.core.wireassets import TrackMeta
from dreamlake.media.tracksplit import TrackChunk, TrackSplitter
from dreamlake.server.chunks import AT_ONCE, ChunkSet
from dreamlake.server.lambdas.outputs import store_playlist, working_folder
from dreamlake.server.sidecar import Asset, read_meta, update_meta
from dreamlake.server.storage import Storage
from dreamlake.server.taskpool import TaskPool

__all__ = ["track_process"]


async def track_process(storage: Storage, asset: Asset, report: Callable[[float], None]) -> None:
    """Process one label track or text track.

    Args:
        storage: that holds the staged file, and takes the results.
        asset: the track.
        report: told how much is done, from 0 to 1.

    Raises:
        MediaError: the file is not a track of its kind.
    """
    before = await read_meta(storage, asset)
    skip_bad = isinstance(before, TrackMeta) and before.skip_bad_lines is True
    async with working_folder(storage, asset) as folder, storage.local_file(asset.staging) as path:
        splitter = TrackSplitter(path, asset.kind_info, asset.filename, folder, skip_bad=skip_bad)
        chunks = ChunkSet(storage)
        await _store_chunks(chunks, splitter, report)
        await chunks.check()
        await _store_description(storage, asset, splitter, chunks, skip_bad=skip_bad)


async def _store_chunks(chunks: ChunkSet, splitter: TrackSplitter, report: Callable[[float], None]) -> None:
    cut = splitter.chunks(report)
    known: set[str] = set()
    async with TaskPool(AT_ONCE) as pool:
        while (chunk := await to_thread.run_sync(next, cut, None)) is not None:
            if chunk.digest not in known:  # the same entries, in several windows
                known.add(chunk.digest)
                await pool.start(partial(_store, chunks, chunk))
    if splitter.needs_filler:
        filler = splitter.filler()
        await chunks.store(filler, sha256(filler).hexdigest(), splitter.extension)


async def _store(chunks: ChunkSet, chunk: TrackChunk) -> None:
    await chunks.store(chunk.path, chunk.digest, chunk.extension)


async def _store_description(
    storage: Storage, asset: Asset, splitter: TrackSplitter, chunks: ChunkSet, *, skip_bad: bool
) -> None:
    """The playlists, and last the sidecar."""
    playlists = splitter.playlists(lambda digest: chunks.key(digest, splitter.extension))
    streams = [await store_playlist(storage, asset, playlist) for playlist in playlists]
    summary = splitter.summary
    await update_meta(
        storage,
        asset,
        time.time(),
        "ready",
        **({"label_id": asset.id} if asset.kind_info == LABEL_TRACK else {"text_track_id": asset.id}),
        format=summary.format,
        entry_count=summary.entries,
        start_time=summary.start,
        end_time=summary.end,
        start_frame=summary.start_frame,
        end_frame=summary.end_frame,
        fields=sorted(summary.fields),
        skipped_lines=summary.skipped if skip_bad else UNSET,
        streams=streams,
        error=None,
    )
