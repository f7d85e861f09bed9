"""What a lake must know of a storage that is not its own folder: which lakes keep their bytes there, and what
time it is there.

A storage outside of the lake's folder can be given to two lakes by accident. Both work then, because names that are
taken are left alone, but each would take the other's objects for garbage. So every lake leaves its mark.
"""

from __future__ import annotations

import errno
import time

from dreamlake.server.settings import Settings
from dreamlake.server.storage import Storage

__all__ = ["leave_mark", "other_lakes", "time_apart"]

PREFIX = ".lakes/"


async def leave_mark(storage: Storage, settings: Settings, identity: str) -> None:
    """Say that this lake keeps its bytes here."""
    if settings.storage is not None:
        key = _mark(identity)
        if await storage.size(key) is None:
            try:
                await storage.write(key, b"")
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EROFS):
                    raise
                # It may only read, so there is nothing of its own that could be lost.


async def other_lakes(storage: Storage, settings: Settings, identity: str) -> list[str]:
    """The marks of other lakes, at most a few; none in a folder of the lake's own."""
    if settings.storage is None:
        return []
    own, found = _mark(identity), []
    async for mark in storage.list_objects(PREFIX):
        if mark.key != own:
            found.append(mark.key)
        if len(found) == 3:
            break
    return found


async def time_apart(storage: Storage, settings: Settings, identity: str) -> float:
    """How many seconds the storage's clock is ahead of ours; the lake's mark is written anew for that."""
    if settings.storage is None:
        return 0.0
    key, before = _mark(identity), time.time()
    await storage.write(key, b"")
    async for mark in storage.list_objects(key):
        if mark.key == key:
            return mark.modified - before
    return 0.0


def _mark(identity: str) -> str:
    return f"{PREFIX}{identity}"
