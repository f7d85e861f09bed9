"""Locks between the processes that have one lake's folder open; the system gives them back whatever ends a process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio

__all__ = ["chunk_gate", "locked"]


@asynccontextmanager
async def locked(folder: Path, *, alone: bool = True, poll: float = 0.02) -> AsyncIterator[None]:
    """Hold a lock while the block runs.

    Args:
        folder: that is locked; whoever does not ask for the lock may use it as ever.
        alone: whether nobody else may hold it, or everybody else who does not want it alone.
        poll: seconds between tries, which may be cancelled in between.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        # A thread that waits for the system to give the lock could not be cancelled.
        while not _try_lock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):  # noqa: ASYNC110 (other processes set no event)
            await anyio.sleep(poll)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # a child that was forked meanwhile has the handle too
    finally:
        os.close(handle)


def chunk_gate(scratch: Path, *, alone: bool = False) -> AbstractAsyncContextManager[None]:
    """Keep apart the deletion of what nobody uses, and the last look of a job at what it is about to use.

    S3 cannot delete an object on the condition that it is old: between the look at its age and its deletion somebody
    may have touched it. So a deletion is alone from the look on; a job that sees a chunk behind the gate has it
    either from before, and touched it before the next look, or misses it and stores it again.

    Args:
        scratch: of the storage, which all processes of a lake share.
        alone: for who deletes.
    """
    return locked(scratch, alone=alone)


def _try_lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
