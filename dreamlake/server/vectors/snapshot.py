"""What is known of a table in memory: which rows it has, and, once they were searched, their vectors.

Comparing all vectors is the work of one matrix product, and LanceDB, which reads them from the disk each time, takes
five times as long for it. Rows are told apart by their numbers (``seq``), which are never given out twice: so a table
that another process has changed is read as far as it is new, and no further.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dreamlake.core.vectors import Vectors

__all__ = ["Known", "Snapshot", "normalised"]

Numbers = NDArray[np.int64]

ROOM = 1.5  # so many times as large a buffer becomes as it has to be; pages that are not written to cost nothing


@dataclass(frozen=True)
class Known:
    """The rows of a table at one of its versions.

    Attributes:
        version: of the table.
        seq: (N,) their numbers, growing.
        key: (N,) hashes of their ids.
        mark: (N,) hashes of all that they say.
    """

    version: int
    seq: Numbers
    key: Numbers
    mark: Numbers

    @property
    def next(self) -> int:
        """The number that a new row may have."""
        return int(self.seq[-1]) + 1 if len(self.seq) else 0

    def grown(self, version: int, seq: Numbers, key: Numbers, mark: Numbers) -> Known:
        """With rows that were added."""
        pairs = ((self.seq, seq), (self.key, key), (self.mark, mark))
        return Known(version, *(np.concatenate(pair) for pair in pairs))


EMPTY = np.empty(0, np.int64)


@dataclass
class Snapshot:
    """The vectors of a table, each of length 1.

    Attributes:
        dim: of a vector.
        seq: (N,) the numbers of the rows, growing.
    """

    dim: int
    seq: Numbers = field(default_factory=lambda: EMPTY)
    _buffer: Vectors = field(init=False)

    def __post_init__(self) -> None:
        self._buffer = np.empty((0, self.dim), np.float32)

    @property
    def vectors(self) -> Vectors:
        """(N, D)"""
        return self._buffer[: len(self.seq)]

    @property
    def nbytes(self) -> int:
        """Of the vectors."""
        return len(self.seq) * self.dim * 4

    def keep(self, seq: Numbers) -> None:
        """Let go of the rows that are not among these numbers."""
        kept = np.isin(self.seq, seq, assume_unique=True)
        if not kept.all():
            self._buffer = self.vectors[kept]
            self.seq = self.seq[kept]

    def reserve(self, rows: int) -> None:
        """Make room for so many rows in all."""
        if rows > len(self._buffer):
            grown = np.empty((rows, self.dim), np.float32)
            grown[: len(self.seq)] = self.vectors
            self._buffer = grown

    def add(self, seq: Numbers, vectors: Vectors) -> None:
        """Take in rows that come after all others; who searches meanwhile sees what was there before."""
        held, wanted = len(self.seq), len(self.seq) + len(seq)
        if wanted > len(self._buffer):
            self.reserve(int(wanted * ROOM))
        self._buffer[held:wanted] = normalised(vectors)
        self.seq = np.concatenate([self.seq, seq])

    def nearest(self, query: Vectors, limit: int, among: Numbers | None) -> tuple[Numbers, Vectors]:
        """The rows with the greatest cosine, best first, and of equal ones those that came first.

        Args:
            query: (D,)
            limit: how many.
            among: the numbers of the rows that are looked at; None for all.

        Returns:
            Their numbers and their cosines.
        """
        seq = self.seq
        cosines = self._buffer[: len(seq)] @ normalised(query[None])[0]
        if among is not None:
            inside = np.isin(seq, among, assume_unique=True)
            seq, cosines = seq[inside], cosines[inside]
        if limit < len(seq):
            # All that equal the last one, so that it is not chance which of them is in.
            least = np.partition(cosines, len(seq) - limit)[len(seq) - limit]
            near = np.flatnonzero(cosines >= least)
        else:
            near = np.arange(len(seq))
        best = near[np.lexsort((seq[near], -cosines[near]))][:limit]
        return seq[best], cosines[best]


def normalised(vectors: Vectors) -> Vectors:
    """(N, D) vectors of length 1 in the same directions."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.asarray(vectors / lengths[:, None].astype(np.float32), np.float32)
