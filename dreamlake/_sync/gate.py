# Generated from dreamlake/_async/gate.py by scripts/unasync.py. Edit that file, then run it.
"""Where requests of a pool wait for their turn, as ``core.pace`` decides it."""

from __future__ import annotations

import threading
import time
from collections import deque

from dreamlake._sync._runtime import Event
from dreamlake.core.pace import Pace

__all__ = ["Gate"]


class Gate:
    """Lets as many requests through at once as there may be, and none while the engine wants a pause.

    Args:
        pace: what may be.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._state = threading.Lock()  # nothing is awaited while it is held
        self._waiting: deque[Event] = deque()
        self._stopped = False

    def enter(self, *, again: bool = False) -> bool:
        """Wait until another request may begin.

        Args:
            again: it is not the first for its row, and goes before those that are.

        Returns:
            True, and then ``leave`` has to be called; False when none may begin any more.
        """
        while True:
            with self._state:
                if self._stopped:
                    return False
                pause = self._pace.wait(time.monotonic())
                if not pause and not self._pace.full:
                    self._pace.running += 1
                    self._wake()
                    return True
                turn = Event()
                if again:
                    self._waiting.appendleft(turn)
                else:
                    self._waiting.append(turn)
            turn.wait(pause or None)
            with self._state:
                if not turn.is_set():
                    self._waiting.remove(turn)
            again = True  # whoever came later does not overtake

    def leave(self) -> None:
        """A request has ended."""
        with self._state:
            self._pace.running -= 1
            self._wake()

    def succeeded(self) -> None:
        """It was answered."""
        with self._state:
            self._pace.succeeded()

    def refused(self) -> None:
        """It was one too many."""
        with self._state:
            self._pace.refused()

    def hold(self, seconds: float) -> None:
        """The engine wants a pause."""
        with self._state:
            self._pace.hold(time.monotonic(), seconds)

    def stop(self) -> None:
        """No request may begin any more."""
        with self._state:
            self._stopped = True
            for turn in self._waiting:
                turn.set()
            self._waiting.clear()

    def _wake(self) -> None:
        """Have as many look again as there is room for."""
        for _ in range(min(len(self._waiting), int(self._pace.limit) - self._pace.running)):
            self._waiting.popleft().set()
