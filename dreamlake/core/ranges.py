"""Which bytes of a file to read together, how far ahead, and which not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "BOX_HEADER", "Box", "ReadAhead", "parse_box", "plan_ranges"]

BLOCK = 64 * 1024
FAST = 16  # blocks, a megabyte
BOX_HEADER = 16  # bytes, the longest one

Ints = NDArray[np.int64]


def plan_ranges(begins: Ints, ends: Ints, gap: int) -> Iterator[tuple[int, int, Ints]]:
    """Ranges of bytes that hold pieces of a file, neighbours in one.

    Args:
        begins: (P,) the first byte of each piece, in any order.
        ends: (P,) the byte after each piece.
        gap: bytes between two pieces that are rather read too than left out by another request.

    Yields:
        The first byte, the byte after the last, and the numbers of the pieces in between.
    """
    order = np.argsort(begins, kind="stable")
    reach = np.maximum.accumulate(ends[order])
    cuts = np.flatnonzero(begins[order][1:] > reach[:-1] + gap) + 1
    for pieces in np.split(order, cuts):
        yield int(begins[pieces].min()), int(ends[pieces].max()), pieces


class ReadAhead:
    """How many blocks to fetch at once: one after a jump, and more and more while reading goes on.

    It is four times as many at first, to get going, and later twice, so that not more is fetched than was used.

    Args:
        most: blocks at once.
        near: a jump ahead over so many blocks at most still counts as reading on.
    """

    def __init__(self, most: int = 64, near: int = 8) -> None:
        self._most, self._near = most, near
        self._count = 0
        self._next = 0

    def plan(self, block: int) -> int:
        """How many blocks to fetch from this one on, which is not there yet."""
        reads_on = self._count and self._next <= block <= self._next + self._near
        factor = 4 if self._count < FAST else 2
        self._count = min(self._count * factor, self._most) if reads_on else 1
        self._next = block + self._count
        return self._count


@dataclass(frozen=True)
class Box:
    """A box of an ISO base media file (ISO/IEC 14496-12, 4.2).

    Attributes:
        kind: its type, four bytes.
        payload: the first byte after its header.
        end: the byte after it.
    """

    kind: bytes
    payload: int
    end: int


def parse_box(header: bytes, at: int, size: int) -> Box | None:
    """Read the header of a box; None when there is none.

    Args:
        header: up to ``BOX_HEADER`` bytes of the file from ``at`` on.
        at: where the box begins.
        size: of the file.
    """
    if len(header) < 8:
        return None
    length, kind, payload = int.from_bytes(header[:4], "big"), header[4:8], 8
    if length == 1:
        length, payload = int.from_bytes(header[8:16], "big"), 16
    elif length == 0:
        length = size - at  # to the end of the file
    if length < payload:
        return None
    return Box(kind, at + payload, min(at + length, size))
