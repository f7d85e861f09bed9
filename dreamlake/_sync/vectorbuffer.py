# Generated from dreamlake/_async/vectorbuffer.py by scripts/unasync.py. Edit that file, then run it.
"""Rows of a vector index that are not in the lake yet, and how they come there.

Each request is a commit, which costs nearly the same for one row as for a thousand. So rows are sent in groups: 256 of
them, or what came within half a second. One group is under way at a time, and all that comes meanwhile is the next one:
whoever adds faster than the lake writes makes fewer and larger commits, not a longer queue.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial

from dreamlake._sync._runtime import Lock, map_unordered, offload
from dreamlake._sync._workers import Background
from dreamlake.core.arrowrows import WAITING, Row, Rows, fitting, write_rows

__all__ = ["VectorBuffer", "send_rows"]

log = logging.getLogger("dreamlake")

GROUP = 256  # rows
GROUP_SECONDS = 0.5


class VectorBuffer:
    """The rows of one index that wait. A forked child has none: those of its parent are its parent's.

    Args:
        name: of the index, for messages.
        send: has the lake commit an Arrow IPC stream of rows.
    """

    def __init__(self, name: str, send: Callable[[bytes], None]) -> None:
        self._name = name
        self._send = send
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._rows: list[Row] = []
        self._committing = Lock()
        self._failure: Exception | None = None
        self._background = Background(self._commit_quietly, GROUP_SECONDS)

    def __len__(self) -> int:
        return len(self._rows) if self._pid == os.getpid() else 0

    def make_room(self) -> None:
        """Return when one more row may wait.

        Raises:
            LakeError: the lake has refused rows that wait. It is raised once.
        """
        self._look()
        if (failure := self._failure) is not None:
            self._failure = None
            raise failure
        if len(self._rows) >= WAITING:
            self._commit()

    def add(self, row: Row) -> None:
        """Take a row; it is sent in time."""
        self._rows.append(row)
        self._background.ask(now=len(self._rows) >= GROUP)

    def flush(self) -> None:
        """Have all of them committed."""
        self._look()
        if self._rows:
            self._commit()

    def clear(self, last: Callable[[], None]) -> None:
        """Let go of them, and do something before the next ones are sent."""
        self._look()
        with self._committing:
            self._rows.clear()
            self._failure = None
            last()

    def _look(self) -> None:
        if self._pid != os.getpid():
            self._begin()

    def _commit(self) -> None:
        with self._committing:
            while self._rows:
                some = fitting(self._rows)
                self._send(offload(partial(write_rows, some)))
                del self._rows[: len(some)]

    def _commit_quietly(self) -> None:
        try:
            self._commit()
        except Exception as error:  # noqa: BLE001 (the next call raises it)
            self._failure = error
            log.warning("%d rows of the vector index %s wait to be added: %s", len(self._rows), self._name, error)


def send_rows(rows: Rows, send: Callable[[bytes], None], at_once: int) -> list[str]:
    """Have many rows committed, and return their ids.

    Args:
        rows: any number.
        send: has the lake commit an Arrow IPC stream of rows.
        at_once: how many of these may be under way.
    """
    found: dict[int, list[str]] = {}

    def commit(part: tuple[int, Rows]) -> None:
        first, some = part
        body, found[first] = offload(some.write)
        send(body)

    for _ in map_unordered(commit, rows.bodies(), at_once):
        pass
    return [one for first in sorted(found) for one in found[first]]
