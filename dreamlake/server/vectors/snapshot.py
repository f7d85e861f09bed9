"""The rows of a table in memory, once they were searched: their vectors, and what goes with them while that is small.

Comparing all vectors is the work of one matrix product, and LanceDB, which reads them from the disk each time, takes
ten times as long for it. Rows are told apart by their numbers (``seq``), which are never given out twice: so a table
that another process has changed is read as far as it is new, and no further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamlake.core.arrowrows import arrow
from dreamlake.core.vectors import Vectors
from dreamlake.server.vectors.known import Numbers
from dreamlake.server.vectors.partitions import Partitions, measured, partitioned

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SMALL", "Snapshot", "normalised"]

ROOM = 1.5  # so many times as large a buffer becomes as it has to be; pages that are not written to cost nothing
SMALL = 4  # what goes with vectors is in memory too while it has no more than a 4th of their bytes
CHUNKS = 64  # of what goes with vectors, with more of which they are joined
GROWN = 2  # neighbourhoods are made anew when there are so many times as many rows


@dataclass(frozen=True)
class Snapshot:
    """The rows of a table at one of its versions. A new one is made of it for the next version; both share memory.

    Attributes:
        version: of the table; -1 before it was read.
        seq: (N,) the numbers of the rows.
        last: the greatest of them; -1 when there is none.
        buffer: (M, D) the vectors, each of length 1, in its first N rows.
        payload: N rows of what goes with them; None where that is large.
        partitions: the neighbourhoods of the first rows, if they have been sorted into such.
    """

    version: int
    seq: Numbers
    last: int
    buffer: Vectors
    payload: pa.Table | None
    partitions: Partitions | None = None

    @classmethod
    def empty(cls, dim: int) -> Snapshot:
        """Before anything was read."""
        return cls(-1, np.empty(0, np.int64), -1, np.empty((0, dim), np.float32), None)

    @property
    def vectors(self) -> Vectors:
        """(N, D)"""
        return self.buffer[: len(self.seq)]

    @property
    def nbytes(self) -> int:
        """Of the vectors and what goes with them."""
        return self.vectors.nbytes + (0 if self.payload is None else int(self.payload.nbytes))

    @property
    def outgrown(self) -> bool:
        """Whether most of the rows are in no neighbourhood."""
        return self.partitions is None or len(self.seq) > GROWN * self.partitions.rows

    def keep(self, seq: Numbers) -> Snapshot:
        """Without the rows that are not among these numbers."""
        kept = np.isin(self.seq, seq, assume_unique=True)
        if kept.all():
            return self
        payload = None if self.payload is None else self.payload.filter(arrow().array(kept))
        partitions = None if self.partitions is None else self.partitions.kept(kept)
        return replace(self, seq=self.seq[kept], buffer=self.vectors[kept], payload=payload, partitions=partitions)

    def reserve(self, rows: int) -> Snapshot:
        """With room for so many rows in all."""
        if rows <= len(self.buffer):
            return self
        grown = np.empty((rows, self.buffer.shape[1]), np.float32)
        grown[: len(self.seq)] = self.vectors
        return replace(self, buffer=grown)

    def added(self, seq: Numbers, vectors: Vectors, payload: pa.Table) -> Snapshot:
        """With rows that were not there yet. Only one may be made of each: it writes behind the rows of this one."""
        held, wanted = len(self.seq), len(self.seq) + len(seq)
        room = self if wanted <= len(self.buffer) else self.reserve(int(wanted * ROOM))
        room.buffer[held:wanted] = normalised(vectors)
        joined: pa.Table | None = payload
        if held:
            joined = None if self.payload is None else arrow().concat_tables([self.payload, payload])
        if joined is not None and joined.nbytes * SMALL > room.buffer[:wanted].nbytes:
            joined = None
        if joined is not None and joined.column(0).num_chunks > CHUNKS:
            joined = joined.combine_chunks()
        last = max(self.last, int(seq.max())) if len(seq) else self.last
        return replace(room, seq=np.concatenate([self.seq, seq]), last=last, payload=joined)

    def sorted(self) -> Snapshot:
        """In neighbourhoods, for searches that need not look at all rows."""
        order, partitions = partitioned(self.vectors)
        vectors = self.vectors[order]
        payload = None if self.payload is None else self.payload.take(arrow().array(order))
        return replace(
            self, seq=self.seq[order], buffer=vectors, payload=payload, partitions=measured(partitions, vectors)
        )

    def nearest(self, query: Vectors, limit: int, among: Numbers | None, *, near: bool) -> tuple[Numbers, Vectors]:
        """The rows with the greatest cosine, best first, and of equal ones those that came first.

        Args:
            query: (D,)
            limit: how many.
            among: the numbers of the rows that are looked at; None for all.
            near: whether it is enough to look into the neighbourhoods around the query, where there are such.

        Returns:
            Where they are, and their cosines.
        """
        direction = normalised(query[None])[0]
        partitions = self.partitions if near and among is None else None
        if partitions is not None and partitions.probes:
            rows, cosines = partitions.near(direction, self.vectors, limit)
        else:
            rows, cosines = np.arange(len(self.seq)), self.vectors @ direction
        if among is not None:
            inside = np.isin(self.seq, among, assume_unique=True)
            rows, cosines = rows[inside], cosines[inside]
        if limit < len(rows):
            # All that equal the last one, so that it is not chance which of them is in.
            least = np.partition(cosines, len(rows) - limit)[len(rows) - limit]
            first = np.flatnonzero(cosines >= least)
            rows, cosines = rows[first], cosines[first]
        best = np.lexsort((self.seq[rows], -cosines))[:limit]
        return rows[best], cosines[best]

    def rows(self, at: Sequence[int]) -> list[dict[str, Any]]:
        """What goes with the rows at these places; nothing where it is not in memory."""
        if self.payload is None:
            return []
        found: list[dict[str, Any]] = self.payload.take(arrow().array(at, "int64")).to_pylist()
        return found


def normalised(vectors: Vectors) -> Vectors:
    """(N, D) vectors of length 1 in the same directions."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.asarray(vectors / lengths[:, None].astype(np.float32), np.float32)
