"""Looking after a table: few files however many small groups were added, and an approximate index once it is large.

LanceDB writes a file and a version for each group. All of them together are rewritten now and then, with bounded memory
and one at a time, and old versions go when nobody can be reading them any more. Its approximate index is only used with
as many probes as a measurement says it takes, and not at all if none are enough.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

import numpy as np

from dreamlake.core.vectors import Vectors
from dreamlake.core.wirevectors import Ann
from dreamlake.server.taskpool import to_the_end
from dreamlake.server.vectors.index import Index
from dreamlake.server.vectors.lance import failures, lancedb
from dreamlake.server.vectors.partitions import NOISE, QUERIES, RECALL
from dreamlake.server.vectors.search import by_vector

__all__ = ["FRAGMENTS", "build_ann", "compact", "outgrown"]

log = logging.getLogger(__name__)

FRAGMENTS = 64  # files of a table, with more of which they are joined
KEPT = timedelta(hours=1)  # so long may somebody read a version that is not the newest
GROWN = 2  # an approximate index is made anew when there are so many times as many rows
ROWS_A_PARTITION = 800
SAMPLE = 32  # vectors of each partition that it is trained with
PROBES = ((8, 10), (16, 10), (32, 20), (64, 30))


def outgrown(ann: Ann | None, rows: int) -> bool:
    """Whether an index over so many rows is to be made anew."""
    return ann is None or rows > GROWN * ann.rows


async def compact(index: Index, *, force: bool = False) -> None:
    """Join the files of a table where there are many, and index what came since."""
    table = await index.table()
    if table is None:
        return
    with failures():
        index.commits = 0
        stats = await table.stats()
        if force or stats["fragment_stats"]["num_fragments"] > FRAGMENTS:
            async with index.lock():
                await to_the_end(partial(table.optimize, cleanup_older_than=KEPT))


async def build_ann(index: Index, *, in_memory: bool) -> Ann | None:
    """Make an approximate index, and measure how good it is: without probes it is not good enough to be used.

    Rows are added meanwhile as ever: LanceDB compares those that are not in the index.
    """
    table = await index.table()
    if table is None:
        return None
    with failures():
        rows = await table.count_rows()
        partitions = max(1, rows // ROWS_A_PARTITION)
        config = lancedb().index.IvfRq(distance_type="cosine", num_partitions=partitions, sample_rate=SAMPLE)
        await table.create_index("vector", config=config, replace=True)
    queries = await _queries(index)
    nearest = [set((await by_vector(index, query, 10, None, None, in_memory=in_memory)).scores) for query in queries]
    if in_memory:
        await index.sort()
    for probes, refine in PROBES:
        ann = Ann(rows, 0.0, probes, refine)
        found = [set((await by_vector(index, query, 10, None, ann, in_memory=False)).scores) for query in queries]
        same = sum(len(one & other) for one, other in zip(found, nearest, strict=True))
        ann.recall = same / max(1, sum(map(len, nearest)))
        if ann.recall >= RECALL:
            return ann
    log.warning("the approximate index of %s finds %.2f of the nearest, and is not used", index.name, ann.recall)
    return Ann(rows, ann.recall, 0, 0)


async def _queries(index: Index) -> list[Vectors]:
    """Vectors near to some of the rows."""
    random = np.random.default_rng(0)
    table = await index.table()
    with failures():
        seq = (await table.query().select(["seq"]).to_arrow())["seq"].to_numpy()
    some = random.choice(seq, min(QUERIES, len(seq)), replace=False)
    found = await index.rows_of(dict.fromkeys(some.tolist()), ["vector"])
    vectors = [np.asarray(row["vector"], np.float32) for row in found.values()]
    noise = [random.standard_normal(index.dim).astype(np.float32) for _ in vectors]
    return [
        vector + one * np.float32(NOISE * np.linalg.norm(vector) / np.linalg.norm(one))
        for vector, one in zip(vectors, noise, strict=True)
    ]
