"""The thread that a model is called in, which can be given up: nobody can interrupt a model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["ModelThread", "TooLong"]

T = TypeVar("T")


class TooLong(Exception):
    """A call of a model has taken longer than it may, and still runs."""


class ModelThread:
    """Calls one after the other, all in the same thread: torch keeps things by thread.

    It keeps no process from ending, whatever a model does.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._last: Future[Any] | None = None
        self._late = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def stuck(self) -> bool:
        """Whether a call that has taken too long still runs; nothing can be called until it returns."""
        return self._late and self._last is not None and not self._last.done()

    async def call(self, fn: Callable[[], T], seconds: float | None) -> T:
        """Call a function; one call at a time.

        Args:
            fn: what to call.
            seconds: that it may take; None for any time.

        Raises:
            TooLong: it takes longer. It goes on, and what it returns is for nobody.
        """
        call: Future[T] = Future()
        self._last, self._late = call, False
        self._calls.put((fn, call))
        ended = asyncio.wrap_future(call)
        ended.add_done_callback(_look_at)
        try:
            await asyncio.wait([ended], timeout=seconds)
            if not ended.done():
                self._late = True
                raise TooLong
            return ended.result()
        finally:
            ended.cancel()  # when it returns later, this loop may have been closed

    def end(self, seconds: float | None) -> bool:
        """Wait for the call that runs, and end; blocking.

        Args:
            seconds: to wait, at most; None for any time.

        Returns:
            Whether the thread has ended.
        """
        self._calls.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (given := self._calls.get()) is not None:
            fn, call = given
            if not call.set_running_or_notify_cancel():
                continue
            try:
                call.set_result(fn())
            except BaseException as error:  # noqa: BLE001 (raised in the caller, by `ended.result()`)
                call.set_exception(error)
            del given, fn, call  # frames of a batch are large, and the next may be long in coming


def _look_at(future: asyncio.Future[Any]) -> None:
    """Nobody may be there any more to whom its error is of interest."""
    with suppress(asyncio.CancelledError):
        future.exception()
