"""hls-split: from an uploaded video to segments, a playlist and the exact frame index (seed 2, "HLS Split").

It may be run any number of times: everything it writes is named by its content, and ``meta.json``, which says that
the video is ready, comes last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from hashlib import sha256
from pathlib import Path

from anyio import to_thread

from dreamlake.core.frameindex import FrameIndex
from dreamlake.errors import MediaError
from dreamlake.media.container import open_media
from dreamlake.media.scan import Scan, scan
from dreamlake.media.soundpieces import VideoTime
from dreamlake.media.soundsplit import SoundSplitter
from dreamlake.media.split import EXTENSIONS, Splitter
from dreamlake.media.transcode import needs_rewrite, rewrite
from dreamlake.server.chunks import ChunkSet
from dreamlake.server.lambdas.outputs import store_playlist, store_sound, working_folder
from dreamlake.server.sidecar import Asset, update_meta
from dreamlake.server.storage import Storage

__all__ = ["hls_split"]

log = logging.getLogger(__name__)

REWRITE_SHARE = 0.9  # of the progress, when pictures have to be encoded anew


async def hls_split(storage: Storage, asset: Asset, report: Callable[[float], None]) -> None:
    """Process one video.

    Args:
        storage: that holds the staged file, and takes the results.
        asset: the video.
        report: told how much is done, from 0 to 1.

    Raises:
        MediaError: the file is not a video that can be stored.
    """
    async with working_folder(storage, asset) as folder, storage.local_file(asset.staging) as original:
        splitter, sound = await to_thread.run_sync(_prepare, original, asset, folder, report)
        begun = REWRITE_SHARE if splitter.transcoded_from else 0.0
        chunks = ChunkSet(storage)
        await _store_segments(chunks, splitter, lambda done: report(begun + (1 - begun) * done))
        streams = await _store_sound(storage, asset, sound, folder / "sound")
        await chunks.check()
        await _store_description(storage, asset, splitter, chunks, streams)


def _prepare(
    original: Path, asset: Asset, folder: Path, report: Callable[[float], None]
) -> tuple[Splitter, SoundSplitter | None]:
    """What splits the file, which is rewritten first if no segment can carry its codecs; and what splits its sound."""
    # The link to the original and what is made of it are kept apart: no name may lead to the original for writing.
    source, work = folder / "source", folder / "work"
    source.mkdir()
    work.mkdir()
    path = source / asset.name.rsplit("/", 1)[-1]  # the asset's own name, for messages and for FFmpeg's guess
    path.symlink_to(original.absolute())
    scanned = scan(path)
    sound = _sound_of(path, scanned)
    if not needs_rewrite(scanned):
        return Splitter(path, scanned, work), sound
    target = work / "rewritten.mp4"
    transcoded_from = rewrite(path, scanned, target, lambda done: report(done * REWRITE_SHARE))
    return Splitter(target, scan(target), work, transcoded_from), sound


def _sound_of(path: Path, scanned: Scan) -> SoundSplitter | None:
    """What splits the sound, as it is in the original; None where there is none."""
    if scanned.audio_codec is None:
        return None
    index = scanned.index
    begin = int(index.pts[0]) * Fraction(*index.header.time_base)
    return SoundSplitter(partial(open_media, path), path.name, VideoTime(begin, index.timeline.end))


async def _store_segments(chunks: ChunkSet, splitter: Splitter, report: Callable[[float], None]) -> None:
    extension = EXTENSIONS[splitter.container]
    await chunks.store_all(
        splitter.segments(), lambda segment: segment.path, extension, lambda stored: report(stored / splitter.count)
    )
    if splitter.init:
        await chunks.store(splitter.init, sha256(splitter.init).hexdigest(), "mp4")


async def _store_sound(storage: Storage, asset: Asset, sound: SoundSplitter | None, folder: Path) -> list[str]:
    """The playlist of a video's sound, by itself, so that it can be had without the pictures."""
    if sound is None:
        return []
    try:
        return [await store_sound(storage, asset, sound, folder)]
    except MediaError as error:
        log.warning("%s (%s): its sound is not stored by itself: %s", asset.name, asset.id, error)
        return []


async def _store_description(
    storage: Storage, asset: Asset, splitter: Splitter, chunks: ChunkSet, sound: list[str]
) -> None:
    """The playlist, the index, and last the sidecar."""
    index: FrameIndex = splitter.index
    stream = await store_playlist(storage, asset, splitter.playlist(chunks.key))
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
        streams=[stream, *sound],
        index="frames.npz",
        error=None,
    )
