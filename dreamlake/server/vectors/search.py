"""Searching an index: by a vector, by words, or by both as one ranking."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from anyio import to_thread

from dreamlake.core.vectors import Vectors, as_vector, fuse
from dreamlake.core.wirevectors import Ann, Hit, Leg, SearchVectors
from dreamlake.server.taskpool import run_all
from dreamlake.server.vectors.filters import condition
from dreamlake.server.vectors.index import PAYLOAD, Index
from dreamlake.server.vectors.known import Numbers
from dreamlake.server.vectors.lance import failures, lancedb
from dreamlake.server.vectors.snapshot import Snapshot

__all__ = ["by_vector", "search"]

DEPTH = 4  # times as many rows as are wanted are looked at in each leg of a search by both
LEAST = 100
INLINE = 2_000_000  # numbers that are compared at once while others wait: less than a millisecond


@dataclass(frozen=True)
class Found:
    """What a leg has found.

    Attributes:
        scores: of rows by their numbers, best first.
        places: of them, in memory or else in LanceDB.
        snapshot: what is in memory; None for LanceDB.
    """

    scores: dict[int, float] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    snapshot: Snapshot | None = None


async def search(index: Index, data: SearchVectors, ann: Ann | None, *, in_memory: bool) -> list[Hit]:
    """What an index has.

    Args:
        index: to search.
        data: what is wanted.
        ann: the approximate index to use; None for comparing all vectors.
        in_memory: whether they may be kept in memory for that.
    """
    said = condition(data.where)
    vector = None if data.vector is None else as_vector(data.vector, index.dim)
    both = vector is not None and data.text is not None
    limit = max(DEPTH * data.limit, LEAST) if both else data.limit
    work: dict[Leg, Callable[[], Coroutine[Any, Any, Found]]] = {}
    if vector is not None:
        work["vector"] = partial(by_vector, index, vector, limit, said, ann, in_memory=in_memory)
    if data.text is not None:
        work["text"] = partial(_by_text, index, data.text, limit, said)
    legs = dict(zip(work, await run_all(list(work.values())), strict=True))
    if both:
        ranked = fuse({name: list(found.scores) for name, found in legs.items()}, data.limit)
    else:
        ranked = [(one, score, [name]) for name, found in legs.items() for one, score in found.scores.items()]
    rows = await _rows(index, [one for one, _, _ in ranked], list(legs.values()))
    return [_hit(rows[one], score, names) for one, score, names in ranked if one in rows]


async def _rows(index: Index, wanted: list[int], legs: list[Found]) -> dict[int, dict[str, Any]]:
    """The rows that are answered, by their numbers; the legs have looked at many more."""
    rows: dict[int, dict[str, Any]] = {}
    places: dict[int, int] = {}
    for found in legs:
        if found.snapshot is None:
            places |= found.places
        elif there := [one for one in wanted if one in found.places]:
            held = found.snapshot.rows([found.places[one] for one in there])
            rows |= dict(zip(there, held, strict=False))  # nothing is held where it would be large
    if left := {one: places.get(one) for one in wanted if one not in rows}:
        rows |= await index.rows_of(left, PAYLOAD)
    return rows


async def by_vector(
    index: Index, vector: Vectors, limit: int, said: str | None, ann: Ann | None, *, in_memory: bool
) -> Found:
    """The rows nearest to a vector, by the cosine."""
    table = await index.table()
    if table is None:
        return Found()
    if in_memory:
        among = None if said is None else await index.numbers(said)
        return await _in_memory(await index.snapshot(), vector, limit, among, near=ann is not None)
    query = table.query().nearest_to(vector).distance_type("cosine").limit(limit)
    query = query.select(["seq", "_distance"]).with_row_id()
    if said is not None:
        query = query.where(said)
    query = query.bypass_vector_index() if ann is None else query.nprobes(ann.probes).refine_factor(ann.refine)
    with failures():
        found = await query.to_arrow()
    seq = found["seq"].to_pylist()
    scores = {one: 1.0 - distance for one, distance in zip(seq, found["_distance"].to_pylist(), strict=True)}
    return Found(scores, dict(zip(seq, found["_rowid"].to_pylist(), strict=True)))


async def _in_memory(snapshot: Snapshot, vector: Vectors, limit: int, among: Numbers | None, *, near: bool) -> Found:
    compare = partial(snapshot.nearest, vector, limit, among, near=near)
    small = snapshot.vectors.size <= INLINE or (near and snapshot.partitions is not None)
    at, cosines = compare() if small else await to_thread.run_sync(compare)
    seq = snapshot.seq[at].tolist()
    return Found(dict(zip(seq, cosines.tolist(), strict=True)), dict(zip(seq, at.tolist(), strict=True)), snapshot)


async def _by_text(index: Index, text: str, limit: int, said: str | None) -> Found:
    """The rows whose captions have these words, by BM25."""
    table = await index.text_table()
    if table is None:
        return Found()
    query = table.query().nearest_to_text(lancedb().query.MatchQuery(text, "caption"))
    query = query.limit(limit).select(["seq", "_score"]).with_row_id()
    if said is not None:
        query = query.where(said)
    with failures():
        found = await query.to_arrow()
    seq = found["seq"].to_pylist()
    scores = dict(zip(seq, found["_score"].to_pylist(), strict=True))
    return Found(scores, dict(zip(seq, found["_rowid"].to_pylist(), strict=True)))


def _hit(row: dict[str, Any], score: float, names: list[Leg]) -> Hit:
    return Hit(
        id=row["id"],
        score=score,
        caption=row["caption"],
        video_id=row["videoId"],
        st=row["st"],
        et=row["et"],
        fs=row["fs"],
        fe=row["fe"],
        frames=row["frames"],
        extra=msgspec.json.decode(row["extra"]),
        matched_by=names,
    )
