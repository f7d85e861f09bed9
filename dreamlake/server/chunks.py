"""Storing chunks: named by their content, shared by all assets, and never taken for what they are not.

Sixteen hex digits are a name, and no identity: anybody can make two files that share them. So what lies under a
chunk's short name is compared by its whole SHA-256, and a chunk whose short name is another's gets its full one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dreamlake.server.sidecar import chunk_key
from dreamlake.server.storage import Storage

__all__ = ["StoredChunk", "store_chunk"]

FULL = 64  # hex digits


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
