"""The process that executes lambdas: jobs come in on stdin, what becomes of them goes out on stdout, a line each.

It is started as ``python -m dreamlake.server.lambdas.worker``, and not with multiprocessing, because that would run
the user's main module again. It ends when its parent does: a job that is left is picked up by the next lake.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from dreamlake.errors import SourceError
from dreamlake.server.lambdas.audio_process import audio_process
from dreamlake.server.lambdas.hls_split import hls_split
from dreamlake.server.lambdas.track_process import track_process
from dreamlake.server.sidecar import Asset
from dreamlake.server.storage import Storage, StorageDown, open_storage

__all__ = ["ACTIONS", "Event", "Task"]

Lambda = Callable[[Storage, Asset, Callable[[float], None]], Awaitable[None]]
ACTIONS: dict[str, Lambda] = {
    "hls-split": hls_split,
    "audio-process": audio_process,
    "label-process": track_process,
    "text-process": track_process,
}
PROGRESS_SECONDS = 0.1
NICENESS = 10
WATCH_SECONDS = 0.5


class Task(msgspec.Struct):
    """One job for the worker."""

    action: str
    storage: str
    scratch: str
    asset: Asset


class Event(msgspec.Struct):
    """What became of it: ``refused`` when trying again would not help, ``down`` when the storage was."""

    state: Literal["running", "done", "refused", "failed", "down"]
    progress: float = 0.0
    error: str | None = None


def main() -> None:
    """Work until stdin ends."""
    parent, memory = int(sys.argv[1]), int(sys.argv[2])
    os.nice(NICENESS)  # uploads and readers come first
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # Nothing else may write into the conversation.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    # One loop for all jobs, and a storage that stays open: to open one in S3 may cost more than a small job.
    with asyncio.Runner() as runner:
        storages = _Storages()
        for line in sys.stdin.buffer:
            _send(answers, _execute(runner, storages, msgspec.json.decode(line, type=Task), answers))
        runner.run(storages.close())


class _Storages:
    """The storages of the jobs so far."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._open: dict[tuple[str, str], Storage] = {}

    async def run(self, task: Task, report: Callable[[float], None]) -> None:
        """Execute a job on its storage."""
        place = task.storage, task.scratch
        if place not in self._open:
            storage = open_storage(task.storage, Path(task.scratch))
            self._open[place] = await self._stack.enter_async_context(storage)
        await ACTIONS[task.action](self._open[place], task.asset, report)

    async def close(self) -> None:
        """Close them."""
        await self._stack.aclose()


def _execute(runner: asyncio.Runner, storages: _Storages, task: Task, answers: BinaryIO) -> Event:
    last = 0.0

    def report(progress: float) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_SECONDS:
            last = time.monotonic()
            _send(answers, Event("running", progress))

    try:
        runner.run(storages.run(task, report))
    except StorageDown as error:
        return Event("down", error=str(error.strerror or error))
    except SourceError as error:
        return Event("refused", error=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the lake must hear of it
        return Event("failed", error=f"{type(error).__name__}: {error}")
    return Event("done", 1.0)


def _send(answers: BinaryIO, event: Event) -> None:
    answers.write(msgspec.json.encode(event) + b"\n")


def _end_with(parent: int) -> None:
    """End when the parent is gone; stdin alone does not say so while a fork of the parent holds its other end."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
