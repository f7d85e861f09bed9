"""Which bytes of a file to read together, and which not at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["plan_ranges"]

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
