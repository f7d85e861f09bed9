"""Vectors in memory, sorted into neighbourhoods, so that a search need not look at all of them.

This is an inverted file (Jégou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", 2011, section 4),
with the vectors as they are: each belongs to the nearest of some centres, and a search compares those of the centres
that are nearest to it. LanceDB has the like on the disk, and takes several milliseconds to get there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamlake.core.vectors import Vectors

__all__ = ["NOISE", "QUERIES", "RECALL", "Partitions", "measured", "partitioned"]

RECALL = 0.97  # of the nearest, that is wanted of an approximate index
NEAREST = 10
DEPTH = 8  # times as many rows as are wanted are compared at least
QUERIES = 64
NOISE = 0.1  # of a vector's length, so that no query is a row
ROUNDS = 4  # in which the centres find their places
SAMPLE = 32  # vectors for each centre that they find them with
BLOCK = 8192  # vectors that are compared with all centres at once


@dataclass(frozen=True)
class Partitions:
    """Which rows are in which neighbourhood. Rows that came later are in none, and are always compared.

    Attributes:
        centres: (P, D) of length 1.
        bounds: (P + 1,) where each one's rows begin, and where the last one's end.
        probes: how many of them a search looks at; 0 when no number is enough, and all are to be compared.
    """

    centres: Vectors
    bounds: NDArray[np.int64]
    probes: int

    @property
    def rows(self) -> int:
        """That are in one."""
        return int(self.bounds[-1])

    def kept(self, kept: NDArray[np.bool_]) -> Partitions:
        """When only these of the rows are left."""
        there = np.concatenate([[0], np.cumsum(kept[: self.rows])])
        return Partitions(self.centres, there[self.bounds], self.probes)

    def near(
        self, query: Vectors, vectors: Vectors, limit: int, probes: int | None = None
    ) -> tuple[NDArray[np.int64], Vectors]:
        """Rows near to a vector, and their cosines.

        Args:
            query: (D,) of length 1.
            vectors: (N, D) all rows; those behind the last neighbourhood are looked at too.
            limit: how many are wanted; for many of them more neighbourhoods are looked at.
            probes: another number of these.
        """
        nearest = np.argsort(-(self.centres @ query))
        rows = np.cumsum(np.diff(self.bounds)[nearest])
        enough = max(self.probes if probes is None else probes, int(np.searchsorted(rows, DEPTH * limit)) + 1)
        spans = [(int(self.bounds[one]), int(self.bounds[one + 1])) for one in nearest[:enough]]
        spans.append((self.rows, len(vectors)))
        found = np.concatenate([np.arange(*span) for span in spans])
        return found, np.concatenate([vectors[first:last] @ query for first, last in spans])


def partitioned(vectors: Vectors, seed: int = 0) -> tuple[NDArray[np.int64], Partitions]:
    """Sort vectors into neighbourhoods, and measure in how many of them a search has to look.

    Args:
        vectors: (N, D) of length 1, N at least 1.
        seed: of the sample.

    Returns:
        (N,) the order that they have to be brought into, and the neighbourhoods.
    """
    random = np.random.default_rng(seed)
    centres = _centres(vectors, max(1, int(len(vectors) ** 0.5)), random)
    nearest = _nearest(vectors, centres)
    order = np.argsort(nearest, kind="stable")
    bounds = np.searchsorted(nearest[order], np.arange(len(centres) + 1))
    return order, Partitions(centres, bounds.astype(np.int64), 0)


def _centres(vectors: Vectors, count: int, random: np.random.Generator) -> Vectors:
    """K-means by the cosine, over a sample."""
    sample = vectors[np.sort(random.choice(len(vectors), min(len(vectors), SAMPLE * count), replace=False))]
    centres = sample[random.choice(len(sample), count, replace=False)]
    for _ in range(ROUNDS):
        nearest = _nearest(sample, centres)
        order = np.argsort(nearest, kind="stable")
        filled, first = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(sample[order], first, axis=0)
        lengths = np.linalg.norm(sums, axis=1)
        centres[filled] = sums / np.where(lengths > 0, lengths, 1)[:, None]
        empty = np.setdiff1d(np.arange(count), filled)  # begin anew elsewhere
        centres[empty] = sample[random.choice(len(sample), len(empty))]
    return centres


def _nearest(vectors: Vectors, centres: Vectors) -> NDArray[np.int64]:
    """(N,) the centre that is nearest to each."""
    parts = [np.argmax(vectors[first : first + BLOCK] @ centres.T, axis=1) for first in range(0, len(vectors), BLOCK)]
    return np.concatenate(parts)


def measured(partitions: Partitions, vectors: Vectors, seed: int = 0) -> Partitions:
    """The same, with as many probes as it takes to find nearly all of the nearest.

    Args:
        partitions: of the vectors.
        vectors: (N, D) in their order.
        seed: of the vectors that are looked for.
    """
    random = np.random.default_rng(seed)
    queries = vectors[random.choice(len(vectors), min(QUERIES, len(vectors)), replace=False)]
    noise = random.standard_normal(queries.shape, np.float32)
    queries = queries + NOISE * noise / np.linalg.norm(noise, axis=1)[:, None]
    nearest = [_best(np.arange(len(vectors)), vectors @ query) for query in queries]
    probes = 1
    while 4 * probes <= len(partitions.centres):  # beyond, it would be no faster than comparing all
        found = [_best(*partitions.near(query, vectors, NEAREST, probes)) for query in queries]
        same = sum(len(one & other) for one, other in zip(found, nearest, strict=True))
        if same >= RECALL * sum(map(len, nearest)):
            return Partitions(partitions.centres, partitions.bounds, probes)
        probes *= 2
    return partitions


def _best(rows: NDArray[np.int64], cosines: Vectors) -> set[int]:
    last = min(NEAREST, len(rows))
    return set(rows[np.argpartition(-cosines, last - 1)[:last]].tolist())
