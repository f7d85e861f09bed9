"""What goes on beside its caller, the async side: in tasks of its own.

As with `_runtime.py`, the blocking API finds the same names, with the same signatures, in a hand-written twin.
"""

import asyncio
import atexit
import os
from collections.abc import Awaitable, Callable

import anyio

from dreamlake._async._runtime import ended

__all__ = ["Background", "crew"]


async def crew(
    work: Callable[[], Awaitable[None]],
    count: int,
    stop: Callable[[], None],
    finish: Callable[[], Awaitable[None]],
    patience: float,
) -> None:
    """Have several workers do the same work at once until they are done, and then finish.

    An error of one is raised when the others have ended too. When the caller is cancelled, it finishes all the same.

    Args:
        work: What each of them does.
        count: How many there are.
        stop: Called after an error or a cancellation: lets workers end soon, of themselves.
        finish: Called once, when all have ended.
        patience: Seconds that workers have to end after a cancellation. Those that have not are cancelled too.
    """
    workers = [asyncio.create_task(_worker(work, stop)) for _ in range(count)]
    try:
        await asyncio.wait(workers)
    except asyncio.CancelledError:
        stop()
        with anyio.CancelScope(shield=True):
            await asyncio.wait(workers, timeout=patience)
            for worker in workers:
                worker.cancel()
            await ended(workers)
            await finish()
        raise
    finally:
        for worker in workers:
            worker.cancel()
        await ended(workers)
    failures = [worker.exception() for worker in workers if not worker.cancelled()]
    await finish()
    for failure in failures:
        if failure is not None:
            raise failure


async def _worker(work: Callable[[], Awaitable[None]], stop: Callable[[], None]) -> None:
    try:
        await work()
    except BaseException:
        stop()
        raise


class Background:
    """Calls a function beside its caller, some time after it was asked for, and never twice at once.

    What was asked for is done: when the event loop ends, or the interpreter, it is done then. A forked child leaves it
    to its parent.

    Args:
        fn: What to call. It raises nothing, and bears that the end of the interpreter calls it while it runs.
        seconds: How long it may take until it is called.
    """

    def __init__(self, fn: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._fn = fn
        self._seconds = seconds
        self._now: asyncio.Event | None = None  # of the call that has not begun
        self._loop: asyncio.AbstractEventLoop | None = None

    def ask(self, *, now: bool = False) -> None:
        """Have it called: within the time that was said, or at once; and once more when it runs already."""
        loop = asyncio.get_running_loop()
        if self._now is None or self._loop is not loop:
            begun = self._loop is not loop or self not in _asked
            self._loop, self._now = loop, asyncio.Event()
            if begun:
                _asked[self] = loop.create_task(self._run())  # loops forget tasks that nobody knows
                atexit.unregister(_finish)
                atexit.register(_finish)  # anew, so that it comes before the end of a lake that was opened meanwhile
        if now:
            self._now.set()

    async def _run(self) -> None:
        mine = asyncio.current_task()
        try:
            while _asked.get(self) is mine and (event := self._now) is not None:
                with anyio.move_on_after(self._seconds):
                    await event.wait()
                self._now = None  # whoever asks from here on wants another call
                await self._fn()
        except asyncio.CancelledError:
            self._now = asyncio.Event()
            while self._now is not None:  # the loop ends: now or never
                self._now = None
                await self._fn()
            raise
        finally:
            if _asked.get(self) is mine:
                del _asked[self]


_asked: dict[Background, asyncio.Task[None]] = {}


def _finish() -> None:
    """Make the calls that their loops have not made: they were stopped, and neither cancelled nor closed."""

    async def call(one: Background) -> None:
        await one._fn()

    for one in list(_asked):
        asyncio.run(call(one))


os.register_at_fork(after_in_child=_asked.clear)
