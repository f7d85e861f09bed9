# Generated from dreamlake/_async/desk.py by scripts/unasync.py. Edit that file, then run it.
"""Where the rows of a bulk inference lie between one worker and the next, and what each worker does next.

Any worker does anything: read a row and encode it, ask the engine, store its answer. Asking goes before the rest, so a
worker that has an answer sends the next row at once and leaves the answer to another, who waits. All of them keep at
most so many rows as there are workers.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Literal, TypeVar

from dreamlake._sync._runtime import Event

__all__ = ["Desk"]

A = TypeVar("A")
R = TypeVar("R")


class Desk(Generic[R, A]):
    """Rows that are ready to be sent, and answers that are to be stored.

    Args:
        asking: workers that may be at the engine at once.
        rows: that there may be at once, from their source to their sink.
    """

    def __init__(self, asking: int, rows: int) -> None:
        self._state = threading.Lock()  # nothing is awaited while it is held
        self._idle: deque[Event] = deque()
        self._ready: deque[R] = deque()
        self._answers: deque[A] = deque()
        self._room = rows
        self._free = asking
        self._reading = False
        self._over = False
        self._rows = rows

    @property
    def over(self) -> bool:
        """Whether no more rows are to be read."""
        return self._over

    def job(self) -> tuple[Literal["read"], None] | tuple[Literal["ask"], R] | tuple[Literal["store"], A] | None:
        """What to do next; None when all is done, and a wait when others do all that can be done now."""
        while True:
            with self._state:
                job = self._choose()
                done = self._over and self._room == self._rows
                while self._idle and (done or self._can_read or self._can_ask or self._answers):
                    self._idle.popleft().set()
                    if not done:
                        break  # who is woken wakes the next
                if job is not None or done:
                    return job
                turn = Event()
                self._idle.append(turn)
            turn.wait()

    def was_read(self, *, last: bool) -> None:
        """A worker has read a row, and encodes it next; or there was none."""
        with self._state:
            self._reading = False
            if last:
                self._over = True
                self._room += 1
            elif self._idle and self._can_read:
                self._idle.popleft().set()

    def ready(self, row: R) -> None:
        """A row can be sent."""
        with self._state:
            self._ready.append(row)

    def answered(self, answer: A | None) -> None:
        """A worker has asked, and has an answer to be stored, or none."""
        with self._state:
            self._free += 1
            if answer is None:
                self._room += 1
            else:
                self._answers.append(answer)

    def gone(self) -> None:
        """Nothing more is to be done for a row."""
        with self._state:
            self._room += 1

    def end(self) -> None:
        """No more rows are to be read."""
        with self._state:
            self._over = True
            if self._idle:
                self._idle.popleft().set()

    @property
    def _can_ask(self) -> bool:
        return bool(self._ready) and self._free > 0

    @property
    def _can_read(self) -> bool:
        return not self._over and not self._reading and self._room > 0

    def _choose(self) -> tuple[Literal["read"], None] | tuple[Literal["ask"], R] | tuple[Literal["store"], A] | None:
        if self._can_ask:
            self._free -= 1
            return "ask", self._ready.popleft()
        if self._answers:
            return "store", self._answers.popleft()
        if self._can_read:
            self._reading = True
            self._room -= 1
            return "read", None
        return None
