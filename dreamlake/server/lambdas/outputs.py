"""What lambdas write, and where they work: playlists, and the sound of recordings and of videos."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from anyio import to_thread

from dreamlake.core.playlist import Playlist, render_playlist
from dreamlake.media.soundsplit import SoundSplitter
from dreamlake.server.chunks import ChunkSet
from dreamlake.server.gate import chunk_gate
from dreamlake.server.sidecar import SAMPLES, Asset
from dreamlake.server.storage import Storage

__all__ = ["store_playlist", "store_sound", "working_folder"]


@asynccontextmanager
async def working_folder(storage: Storage, asset: Asset) -> AsyncIterator[Path]:
    """A folder for one job, which is gone afterwards."""
    await to_thread.run_sync(_sweep, storage, asset)
    with tempfile.TemporaryDirectory(prefix=f"{asset.id}-", dir=storage.scratch) as folder:
        yield Path(folder)


def _sweep(storage: Storage, asset: Asset) -> None:
    """Remove what a worker that was killed has left of the same job."""
    for abandoned in storage.scratch.glob(f"{asset.id}-*"):
        shutil.rmtree(abandoned, ignore_errors=True)


async def store_playlist(storage: Storage, asset: Asset, playlist: Playlist) -> str:
    """Store a playlist; the hash that it is named by."""
    content = render_playlist(playlist).encode()
    stream = sha256(content).hexdigest()[:16]
    async with chunk_gate(storage.scratch):  # an old one that nothing named until now may be about to be deleted
        await storage.write(asset.key(f"stream/{stream}.m3u8"), content)
    return stream


@dataclass(frozen=True)
class _Written:
    """A segment in a file."""

    path: Path
    digest: bytes


def _written(splitter: SoundSplitter, folder: Path) -> Iterator[_Written]:
    folder.mkdir(exist_ok=True)
    for number, segment in enumerate(splitter.segments()):
        path = folder / f"{number}.m4s"
        path.write_bytes(segment.data)
        yield _Written(path, segment.digest)


async def store_sound(storage: Storage, asset: Asset, splitter: SoundSplitter, folder: Path) -> str:
    """Cut sound into segments, and store them with their index.

    Args:
        storage: that takes them.
        asset: that the sound is, or belongs to.
        splitter: of the sound.
        folder: for the segments until they are stored; made if it is not there.

    Returns:
        The hash of the playlist.

    Raises:
        MediaError: it cannot be read.
    """
    chunks = ChunkSet(storage)
    await chunks.store_all(_written(splitter, folder), lambda segment: segment.path, "m4s", lambda _: None)
    init = splitter.init
    await chunks.store(init, sha256(init).hexdigest(), "mp4")
    await chunks.check()
    stream = await store_playlist(storage, asset, splitter.playlist(chunks.key))
    await storage.write(asset.key(SAMPLES), await to_thread.run_sync(splitter.index.to_bytes))
    return stream
