"""What lambdas write, and where they work: chunks, playlists, and the sound of recordings and of videos."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Protocol, TypeVar

from anyio import to_thread

from dreamlake.core.playlist import Playlist, render_playlist
from dreamlake.media.soundsplit import SoundSplitter
from dreamlake.server.chunks import store_chunk
from dreamlake.server.gate import chunk_gate
from dreamlake.server.sidecar import SAMPLES, Asset
from dreamlake.server.storage import Storage
from dreamlake.server.taskpool import TaskPool

__all__ = ["Chunks", "store_playlist", "store_sound", "working_folder"]

AT_ONCE = 4  # chunks that are stored while the next one is cut


class Segment(Protocol):
    """A finished segment."""

    @property
    def digest(self) -> bytes:
        """Its SHA-256."""


S = TypeVar("S", bound=Segment)


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


@dataclass(frozen=True)
class _Reused:
    """A chunk that another asset had stored before: its bytes, or where they are, and its extension."""

    content: bytes | Path
    extension: str


class Chunks:
    """The chunks of one asset, and their keys by SHA-256 in hex."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._keys: dict[str, str] = {}
        self._reused: dict[str, _Reused] = {}

    async def store(self, content: bytes | Path, digest: str, extension: str) -> None:
        """Store one; the file of one that was there already is left where it is."""
        stored = await store_chunk(self._storage, content, digest, extension)
        self._keys[digest] = stored.key
        if stored.reused:
            self._reused[digest] = _Reused(content, extension)

    async def store_all(
        self, segments: Iterator[S], content: Callable[[S], bytes | Path], extension: str, report: Callable[[int], None]
    ) -> None:
        """Store segments while the next ones are cut; ``report`` is told how many are done."""
        stored = 0

        async def store(segment: S) -> None:
            nonlocal stored
            await self.store(content(segment), segment.digest.hex(), extension)
            stored += 1
            report(stored)

        async with TaskPool(AT_ONCE) as pool:
            while (segment := await to_thread.run_sync(next, segments, None)) is not None:
                await pool.start(partial(store, segment))

    async def check(self) -> None:
        """Store again what was there and is not any more: it may have been cleared up when it was found."""
        while reused := self._reused:
            async with chunk_gate(self._storage.scratch):
                gone = [digest for digest in reused if await self._storage.size(self._keys[digest]) is None]
            self._reused = {}
            for digest in gone:
                await self.store(reused[digest].content, digest, reused[digest].extension)

    def key(self, digest: str, extension: str) -> str:
        """The key that a chunk has got."""
        assert self._keys[digest].endswith(extension)
        return self._keys[digest]


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
    chunks = Chunks(storage)
    await chunks.store_all(_written(splitter, folder), lambda segment: segment.path, "m4s", lambda _: None)
    init = splitter.init
    await chunks.store(init, sha256(init).hexdigest(), "mp4")
    await chunks.check()
    stream = await store_playlist(storage, asset, splitter.playlist(chunks.key))
    await storage.write(asset.key(SAMPLES), await to_thread.run_sync(splitter.index.to_bytes))
    return stream
