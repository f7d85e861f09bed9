"""What is known of a table's rows in memory: enough to see which of those that come are new."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Known", "Numbers"]

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Known:
    """The rows of a table at one of its versions: 16 bytes for each.

    Attributes:
        version: of the table.
        next: the number that a new row may have.
        key: (N,) hashes of their ids, growing.
        mark: (N,) hashes of all that they say, in the same order.
    """

    version: int
    next: int
    key: Numbers
    mark: Numbers

    @classmethod
    def of(cls, version: int, seq: Numbers, key: Numbers, mark: Numbers) -> Known:
        """What is known of a table that was read; its rows are in any order."""
        order = np.argsort(key)
        return cls(version, int(seq.max()) + 1 if len(seq) else 0, key[order], mark[order])

    def look(self, keys: Numbers, marks: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Of each of these rows whether there is one with its id, and whether that says the same."""
        if not len(self.key):
            return np.zeros(len(keys), np.bool_), np.zeros(len(keys), np.bool_)
        at = np.minimum(np.searchsorted(self.key, keys), len(self.key) - 1)
        present = self.key[at] == keys
        return present, present & (self.mark[at] == marks)

    def upserted(self, version: int, next_number: int, keys: Numbers, marks: Numbers) -> Known:
        """With these rows, each once, in the place of those that have their ids."""
        present, _ = self.look(keys, marks)
        mark = self.mark
        if present.any():
            mark = mark.copy()
            mark[np.searchsorted(self.key, keys[present])] = marks[present]
        new = np.flatnonzero(~present)
        new = new[np.argsort(keys[new])]
        at = np.searchsorted(self.key, keys[new])
        return Known(version, next_number, np.insert(self.key, at, keys[new]), np.insert(mark, at, marks[new]))
