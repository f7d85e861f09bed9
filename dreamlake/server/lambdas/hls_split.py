"""hls-split: from an uploaded video to segments, a playlist and the exact frame index (seed 2, "HLS Split").

It may be run any number of times: everything it writes is named by its content, and ``meta.json``, which says that
the video is ready, comes last.
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

from dreamlake.core.frameindex import FrameIndex
from dreamlake.core.playlist import render_playlist
from dreamlake.media.scan import scan
from dreamlake.media.split import EXTENSIONS, Splitter
from dreamlake.media.transcode import needs_rewrite, rewrite
from dreamlake.server.chunks import ChunkSet
from dreamlake.server.gate import chunk_gate
from dreamlake.server.sidecar import Asset, update_meta
from dreamlake.server.storage import Storage
from dreamlake.server.taskpool import TaskPool

__all__ = ["hls_split"]

REWRITE_SHARE = 0.9  # of the progress, when pictures have to be encoded anew
AT_ONCE = 4  # chunks that are stored while the next one is cut


async def hls_split(storage: Storage, asset: Asset, report: Callable[[float], None]) -> None:
    """Process one video.

    Args:
        storage: that holds the staged file, and takes the results.
        asset: the video.
        report: told how much is done, from 0 to 1.

    Raises:
        MediaError: the file is not a video that can be stored.
    """
    await to_thread.run_sync(_sweep, storage, asset)
    with tempfile.TemporaryDirectory(prefix=f"{asset.id}-", dir=storage.scratch) as folder:
        async with storage.local_file(asset.staging) as original:
            splitter = await to_thread.run_sync(_prepare, original, asset, Path(folder), report)
            begun = REWRITE_SHARE if splitter.transcoded_from else 0.0
            chunks = ChunkSet(storage)
            await _store_segments(chunks, splitter, lambda done: report(begun + (1 - begun) * done))
            await chunks.check()
            await _store_description(storage, asset, splitter, chunks)


def _sweep(storage: Storage, asset: Asset) -> None:
    """Remove what a worker that was killed has left of the same job."""
    for abandoned in storage.scratch.glob(f"{asset.id}-*"):
        shutil.rmtree(abandoned, ignore_errors=True)


def _prepare(original: Path, asset: Asset, folder: Path, report: Callable[[float], None]) -> Splitter:
    """What splits the file, which is rewritten first if no segment can carry its codecs."""
    # The link to the original and what is made of it are kept apart: no name may lead to the original for writing.
    source, work = folder / "source", folder / "work"
    source.mkdir()
    work.mkdir()
    path = source / asset.name.rsplit("/", 1)[-1]  # the asset's own name, for messages and for FFmpeg's guess
    path.symlink_to(original.absolute())
    scanned = scan(path)
    if not needs_rewrite(scanned):
        return Splitter(path, scanned, work)
    target = work / "rewritten.mp4"
    transcoded_from = rewrite(path, scanned, target, lambda done: report(done * REWRITE_SHARE))
    return Splitter(target, scan(target), work, transcoded_from)


async def _store_segments(chunks: ChunkSet, splitter: Splitter, report: Callable[[float], None]) -> None:
    segments, extension = splitter.segments(), EXTENSIONS[splitter.container]
    stored = 0

    async def store(path: Path, digest: str) -> None:
        nonlocal stored
        await chunks.store(path, digest, extension)
        stored += 1
        report(stored / splitter.count)

    async with TaskPool(AT_ONCE) as pool:
        while (segment := await to_thread.run_sync(next, segments, None)) is not None:
            await pool.start(partial(store, segment.path, segment.digest.hex()))
    if splitter.init:
        await chunks.store(splitter.init, sha256(splitter.init).hexdigest(), "mp4")


async def _store_description(storage: Storage, asset: Asset, splitter: Splitter, chunks: ChunkSet) -> None:
    """The playlist, the index, and last the sidecar."""
    index: FrameIndex = splitter.index
    playlist = render_playlist(splitter.playlist(chunks.key)).encode()
    stream = sha256(playlist).hexdigest()[:16]
    async with chunk_gate(storage.scratch):  # an old one that nothing named until now may be about to be deleted
        await storage.write(asset.key(f"stream/{stream}.m3u8"), playlist)
    await storage.write(asset.key("frames.npz"), index.to_bytes())
    width, height = index.display_size
    await update_meta(
        storage,
        asset,
        time.time(),
        "ready",
        fps=index.fps,
        duration=index.timeline.end,
        duration_sec=index.timeline.end,
        width=width,
        height=height,
        frames=len(index),
        codec=index.header.transcoded_from or index.header.codec,
        rotation=index.header.rotation,
        has_audio=index.header.has_audio,
        streams=[stream],
        index="frames.npz",
        error=None,
    )
