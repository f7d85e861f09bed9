"""A few coroutines at once, and never more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

__all__ = ["TaskPool", "run_all", "to_the_end"]

T = TypeVar("T")


class TaskPool:
    """Runs coroutines while its block runs, and ends with all of them.

    The first that fails ends the others and is raised as it is: a task group would wrap it, and hide its type.

    Args:
        limit: how many may run at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, fn: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Call a coroutine function, once there is room for it."""
        while len(self._running) >= self._limit:
            await self._some()
        self._running.add(asyncio.create_task(fn()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            while kind is None and self._running:
                await self._some()
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _some(self) -> None:
        """Wait until one has ended at least."""
        done, self._running = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for error in [task.exception() for task in done]:  # all are asked for, so that none is reported as unseen
            if error is not None:
                raise error


async def run_all(fns: Sequence[Callable[[], Coroutine[Any, Any, T]]], limit: int = 8) -> list[T]:
    """Call coroutine functions, some at once, and return their results in order."""
    results: dict[int, T] = {}

    async def run(number: int) -> None:
        results[number] = await fns[number]()

    async with TaskPool(limit) as pool:
        for number in range(len(fns)):
            await pool.start(partial(run, number))
    return [results[number] for number in range(len(fns))]


async def to_the_end(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Call it, and wait for it even when we are cancelled: nothing of it may arrive when its lock is given back."""
    task = asyncio.create_task(work())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # the cancellation is what the caller sees
        raise
