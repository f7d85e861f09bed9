"""label-process and text-process: from an uploaded track to chunks, playlists and what there is to say of it (seed 3).

It may be run any number of times: everything it writes is named by its content, and ``meta.json``, which says that
the track is ready, comes last.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

from anyio import to_thread
from msgspec import UNSET

from dreamlake.core.kinds import LABEL_TRACK
from dreamlake.core.playlist import render_playlist
from dreamlake.core.wire import TrackMeta
from dreamlake.media.tracksplit import TrackChunk, TrackSplitter
from dreamlake.server.chunks import ChunkSet
from dreamlake.server.gate import chunk_gate
from dreamlake.server.sidecar import Asset, read_meta, update_meta
from dreamlake.server.storage import Storage
from dreamlake.server.taskpool import TaskPool

__all__ = ["track_process"]

AT_ONCE = 4  # chunks that are stored while the next one is cut


async def track_process(storage: Storage, asset: Asset, report: Callable[[float], None]) -> None:
    """Process one label track or text track.

    Args:
        storage: that holds the staged file, and takes the results.
        asset: the track.
        report: told how much is done, from 0 to 1.

    Raises:
        MediaError: the file is not a track of its kind.
    """
    await to_thread.run_sync(_sweep, storage, asset)
    before = await read_meta(storage, asset)
    skip_bad = isinstance(before, TrackMeta) and before.skip_bad_lines is True
    with tempfile.TemporaryDirectory(prefix=f"{asset.id}-", dir=storage.scratch) as folder:
        async with storage.local_file(asset.staging) as path:
            splitter = TrackSplitter(path, asset.kind_info, asset.filename, Path(folder), skip_bad=skip_bad)
            chunks = ChunkSet(storage)
            await _store_chunks(chunks, splitter, report)
            await chunks.check()
            await _store_description(storage, asset, splitter, chunks, skip_bad=skip_bad)


def _sweep(storage: Storage, asset: Asset) -> None:
    """Remove what a worker that was killed has left of the same job."""
    for abandoned in storage.scratch.glob(f"{asset.id}-*"):
        shutil.rmtree(abandoned, ignore_errors=True)


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
    streams = []
    for playlist in splitter.playlists(lambda digest: chunks.key(digest, splitter.extension)):
        text = render_playlist(playlist).encode()
        streams.append(sha256(text).hexdigest()[:16])
        async with chunk_gate(storage.scratch):  # an old one that nothing named until now may be about to be deleted
            await storage.write(asset.key(f"stream/{streams[-1]}.m3u8"), text)
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
