"""What is in segments in memory, up to a bound in bytes, shared by all readers of a process."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Protocol

__all__ = ["Kept", "SegmentCache", "segments"]

MAX_BYTES = 64 * 1024**2


class Kept(Protocol):
    """What is in a segment: packets of pictures, or bytes of sound."""

    @property
    def nbytes(self) -> int:
        """Of memory, nearly."""


class SegmentCache:
    """The segments that were used last; safe for any number of threads.

    Args:
        max_bytes: how many bytes are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # the lock may have been held by another thread

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._segments: OrderedDict[Hashable, Kept] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Any:
        """A segment that is there, now the last to go."""
        with self._lock:
            found = self._segments.get(key)
            if found is not None:
                self._segments.move_to_end(key)
            return found

    @property
    def max_bytes(self) -> int:
        """How many bytes are kept."""
        return self._max_bytes

    @property
    def nbytes(self) -> int:
        """How many bytes are there now."""
        return self._bytes

    def discard(self, key: Hashable) -> None:
        """Let go of a segment that is not expected to be wanted again."""
        with self._lock:
            gone = self._segments.pop(key, None)
            self._bytes -= gone.nbytes if gone is not None else 0

    def put(self, key: Hashable, segment: Kept) -> None:
        """Keep a segment, and let go of those that have not been used for longest."""
        with self._lock:
            if key in self._segments:
                return
            self._segments[key] = segment
            self._bytes += segment.nbytes
            while self._bytes > self._max_bytes and len(self._segments) > 1:
                _, oldest = self._segments.popitem(last=False)
                self._bytes -= oldest.nbytes


segments = SegmentCache(MAX_BYTES)
