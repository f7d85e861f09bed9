"""Which lakes keep their bytes in one storage.

A storage outside of the lake's folder can be given to two lakes by accident. Both work then, because names that are
taken are left alone, but each would take the other's objects for garbage. So every lake leaves its mark.
"""

from __future__ import annotations

from hashlib import sha256

from anyio import to_thread

from dreamlake.server.settings import Settings
from dreamlake.server.storage import Storage

__all__ = ["leave_mark", "other_lakes"]

PREFIX = ".lakes/"


async def leave_mark(storage: Storage, settings: Settings) -> None:
    """Say that this lake keeps its bytes here; its signing key is there already."""
    if settings.storage is not None:
        key = await _mark(settings)
        if await storage.size(key) is None:
            await storage.write(key, b"")


async def other_lakes(storage: Storage, settings: Settings) -> list[str]:
    """The marks of other lakes, at most a few; none in a folder of the lake's own."""
    if settings.storage is None:
        return []
    own, found = await _mark(settings), []
    async for mark in storage.list_objects(PREFIX):
        if mark.key != own:
            found.append(mark.key)
        if len(found) == 3:
            break
    return found


async def _mark(settings: Settings) -> str:
    # A lake is told by its key: it is random, and moves along with the database.
    secret = await to_thread.run_sync((settings.data / "signing.key").read_bytes)
    return f"{PREFIX}{sha256(secret).hexdigest()[:32]}"
