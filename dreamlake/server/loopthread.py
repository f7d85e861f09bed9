"""One asyncio loop in a daemon thread: how blocking code runs async code without owning a loop."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

__all__ = ["LoopThread"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CANCEL_SECONDS = 1.0
"""How long cancelled tasks may take to end when the loop stops."""


class LoopThread:
    """A daemon thread that runs one asyncio loop from `start` to `stop`.

    Work enters in order through one gate, which `stop` closes before it ends the loop. So whatever the
    gate let in does run, and no caller is left waiting for work that was dropped.

    Everything runs in an empty context, as it would in a process of its own, rather than in a copy of
    the caller's: context variables that name the caller's async library would mislead ours.
    """

    def __init__(self, name: str = "dreamlake-lake") -> None:
        self.name = name
        self.pid = os.getpid()
        # Re-entrant, for a collected object may post from inside a post. A forked child never takes it.
        self._gate = threading.RLock()
        self._open = False
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._stopping = asyncio.Event()

    @property
    def here(self) -> bool:
        """Whether this is the loop's own thread, which must not wait for itself."""
        return self._thread is threading.current_thread()

    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the one that has the thread."""
        return os.getpid() != self.pid

    def check(self) -> None:
        """Raise RuntimeError in a forked child, where the thread does not exist."""
        if self.forked:
            raise RuntimeError(
                f"the in-process server runs in process {self.pid}; process {os.getpid()} is a fork of it "
                "and has to start its own"
            )

    def start(self) -> None:
        """Start the thread, once."""
        self.check()
        if self._thread is not None:
            raise RuntimeError("the loop thread was already started")
        # The loop is made here, and it queues what is posted before it runs: nothing to wait for.
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        try:
            thread.start()
        except BaseException:
            self._loop.close()
            raise
        self._thread, self._open = thread, True

    def post(self, callback: Callable[[*Ts], object], *args: *Ts) -> bool:
        """Call `callback` soon in the loop, from any thread; False if there is no loop (any more)."""
        if self.forked:
            return False
        with self._gate:
            if self._open:
                self._loop.call_soon_threadsafe(callback, *args, context=Context())
            return self._open

    def submit(self, coro_fn: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start `coro_fn()` in the loop; cancelling the future cancels it."""
        self.check()
        with self._gate:
            if not self._open:
                raise RuntimeError("the loop thread is not running")
            return Context().run(asyncio.run_coroutine_threadsafe, coro_fn(), self._loop)

    def run(self, coro_fn: Callable[[], Coroutine[Any, Any, T]], timeout: float | None = None) -> T:
        """Run `coro_fn()` in the loop and wait for its result; giving up cancels it."""
        if self.here:
            raise RuntimeError("the loop's own thread cannot wait for what it runs")
        future = self.submit(coro_fn)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def stop(self, timeout: float = 5.0) -> bool:
        """Cancel what still runs and end the thread; False if it did not end in time."""
        if self._thread is None or self.forked:
            return True
        with self._gate:
            if self._open:
                self._open = False
                self._loop.call_soon_threadsafe(self._stopping.set, context=Context())
        if self.here:
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        # A SystemExit in a task ends the loop on the spot; `_end` then tells whoever waits for anything.
        with contextlib.suppress(SystemExit):
            # Not run_forever: libraries take the task of run_until_complete as the root of all others
            # and keep their worker threads for as long as it lives, instead of a set for each request.
            self._loop.run_until_complete(self._stopping.wait())
        with self._gate:
            self._open = False
        try:
            self._loop.run_until_complete(self._end())
        finally:
            # asyncio.run would also wait for the default executor, in a thread that newer Pythons do not
            # start while the interpreter exits. Closing the loop lets go of the executor without waiting.
            self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        # Who was cancelled may tidy up in a task of its own: a database closes the connection that was in use.
        left = asyncio.all_tasks() - tasks - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=CANCEL_SECONDS)
        await self._loop.shutdown_asyncgens()
