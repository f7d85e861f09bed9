"""Storing chunks: named by their content, shared by all assets, and never taken for what they are not.

Sixteen hex digits are a name, and no identity: anybody can make two files that share them. So what lies under a
chunk's short name is compared by its whole SHA-256, and a chunk whose short name is another's gets its full one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from anyio import to_thread

from dreamlake.server.gate import chunk_gate
from dreamlake.server.sidecar import chunk_key
from dreamlake.server.storage import Storage
from dreamlake.server.taskpool import TaskPool

__all__ = ["ChunkSet", "StoredChunk", "store_chunk"]

FULL = 64  # hex digits
AT_ONCE = 4  # chunks that are stored while the next one is cut


class Segment(Protocol):
    """A finished segment."""

    @property
    def digest(self) -> bytes:
        """Its SHA-256."""


S = TypeVar("S", bound=Segment)


@dataclass(frozen=True)
class StoredChunk:
    """Where a chunk is, and whether it had been there before."""

    key: str
    reused: bool


async def store_chunk(storage: Storage, content: bytes | Path, sha256: str, extension: str) -> StoredChunk:
    """Store a chunk, unless it is there already: then it is made young, so that no clearing up takes it.

    Args:
        storage: that holds the chunks.
        content: its bytes, or a file of them, which is moved away if it is stored.
        sha256: of the content, 64 hex digits.
        extension: of the chunk's name.
    """
    key = chunk_key(sha256, extension)
    there = await storage.digest(key)
    if there is not None and there != sha256:
        key = chunk_key(sha256, extension, FULL)
        there = await storage.digest(key)  # another one here is this chunk damaged, and is replaced
    if there == sha256 and await storage.touch(key):
        return StoredChunk(key, reused=True)
    if isinstance(content, bytes):
        await storage.write(key, content)
    else:
        await storage.write_file(key, content, sha256)
    return StoredChunk(key, reused=False)


@dataclass(frozen=True)
class _Reused:
    """A chunk that another asset had stored before: its bytes, or where they are, and its extension."""

    content: bytes | Path
    extension: str


class ChunkSet:
    """The chunks of one asset, and their keys by SHA-256 in hex.

    Args:
        storage: that holds the chunks.
    """

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
