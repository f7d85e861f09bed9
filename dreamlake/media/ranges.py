"""A seekable file out of ranges of bytes that are fetched when FFmpeg asks for them."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable
from operator import attrgetter

from dreamlake.core.ranges import BLOCK, BOX_HEADER, ReadAhead, parse_box

__all__ = ["RangeReader", "blocks"]

MAX_BLOCKS = 64 * 1024**2 // BLOCK
ZEROS = bytes(BLOCK)


class _Blocks:
    """The blocks that were used last, of all files; safe for any number of threads."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # the lock may have been held by another thread

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable) -> bytes | None:
        """A block that is there, now the last to go."""
        with self._lock:
            found = self._blocks.get(key)
            if found is not None:
                self._blocks.move_to_end(key)
            return found

    def put(self, key: Hashable, block: bytes) -> None:
        """Keep a block, and let go of the one that has not been used for longest."""
        with self._lock:
            self._blocks[key] = block
            self._blocks.move_to_end(key)
            while len(self._blocks) > MAX_BLOCKS:
                self._blocks.popitem(last=False)

    def put_all(self, file: Hashable, begin: int, data: bytes) -> None:
        """Keep the blocks of a range that begins with one of them.

        Args:
            file: the key of the file in its version; the blocks have it with their number as keys.
            begin: where in the file the range begins.
            data: of the range.
        """
        for at in range(0, len(data), BLOCK):
            self.put((file, (begin + at) // BLOCK), data[at : at + BLOCK])


blocks = _Blocks()


class RangeReader:
    """What FFmpeg reads from, on one thread.

    No error goes through FFmpeg, which would take some of them for the end of the file: the first one is kept, and
    from then on the file has ended.

    Args:
        fetch: gives the bytes from one position to just before another.
        size: of the file in bytes.
        key: of the file in its version.

    Attributes:
        failure: what went wrong.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, key: Hashable) -> None:
        self._fetch, self._size, self._key = fetch, size, key
        self.failure: BaseException | None = None
        self._at = 0
        self._ahead = ReadAhead()
        self._skims = False
        self._known = 0  # boxes are known up to here
        self._payloads: list[range] = []

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end, or after a failure."""
        if self.failure is not None:
            return b""
        try:
            data = self._read(size)
        except BaseException as error:  # noqa: BLE001 (kept, and raised by whoever opened the file)
            self.failure = error
            return b""
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset from the start (0), from here (1) or the end (2), and return where we are."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        """Where we are."""
        return self._at

    def skim(self) -> None:
        """From now on read the payload of MP4, which the packets are in, as zeros, and fetch none of it."""
        self._skims = True

    def _read(self, size: int) -> bytes:
        if self._at >= self._size:
            return b""
        if self._skims and (hollow := self._payload_left()):
            return ZEROS[: min(size, hollow)]
        number, offset = divmod(self._at, BLOCK)
        return self._block(number)[offset : offset + size]

    def _payload_left(self) -> int:
        """How many bytes of payload follow from here on."""
        while self._known <= self._at:
            box = parse_box(self._header(self._known), self._known, self._size)
            if box is None:
                self._known = self._size  # whatever this is, it is read as it is
                break
            if box.kind == b"mdat":
                self._payloads.append(range(box.payload, box.end))
            self._known = box.end
        before = bisect_right(self._payloads, self._at, key=attrgetter("start"))
        return max(0, self._payloads[before - 1].stop - self._at) if before else 0

    def _header(self, at: int) -> bytes:
        number, offset = divmod(at, BLOCK)
        header = self._block(number)[offset : offset + BOX_HEADER]
        if len(header) < BOX_HEADER and (number + 1) * BLOCK < self._size:
            header += self._block(number + 1)[: BOX_HEADER - len(header)]
        return header

    def _block(self, number: int) -> bytes:
        found = blocks.get((self._key, number))
        if found is not None:
            return found
        begin = number * BLOCK
        data = self._fetch(begin, min(begin + self._ahead.plan(number) * BLOCK, self._size))
        blocks.put_all(self._key, begin, data)
        return data[:BLOCK]
