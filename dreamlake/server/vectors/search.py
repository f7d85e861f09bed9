"""Searching an index: by a vector, by words, or by both as one ranking."""

from __future__ import annotations

from typing import Any

import msgspec

from dreamlake.core.vectors import Vectors, as_vector, fuse
from dreamlake.core.wirevectors import Ann, Hit, Leg, SearchVectors
from dreamlake.server.vectors.filters import condition
from dreamlake.server.vectors.index import Index
from dreamlake.server.vectors.lance import failures, lancedb

__all__ = ["by_vector", "search"]

Found = dict[str, tuple[float, dict[str, Any]]]  # rows by their ids, best first, with their scores

DEPTH = 4  # times as many rows as are wanted are looked at in each leg of a search by both
LEAST = 100
PAYLOAD = ["id", "caption", "videoId", "st", "et", "fs", "fe", "frames", "extra"]


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
    legs: dict[Leg, Found] = {}
    if vector is not None:
        legs["vector"] = await by_vector(index, vector, limit, said, ann, in_memory=in_memory)
    if data.text is not None:
        legs["text"] = await _by_text(index, data.text, limit, said)
    if both:
        ranked = fuse({name: list(found) for name, found in legs.items()}, data.limit)
        rows = {row_id: row for found in legs.values() for row_id, (_, row) in found.items()}
        return [_hit(rows[row_id], score, names) for row_id, score, names in ranked]
    return [_hit(row, score, [name]) for name, found in legs.items() for score, row in found.values()]


async def by_vector(
    index: Index, vector: Vectors, limit: int, said: str | None, ann: Ann | None, *, in_memory: bool
) -> Found:
    """The rows nearest to a vector, by the cosine."""
    table = await index.table()
    if table is None:
        return {}
    if ann is None and in_memory:
        among = None if said is None else await index.numbers(said)
        snapshot = await index.snapshot()
        seq, cosines = snapshot.nearest(vector, limit, among)
        rows = await index.rows_of(seq, PAYLOAD)
        pairs = zip(seq.tolist(), cosines.tolist(), strict=True)
        return {rows[number]["id"]: (cosine, rows[number]) for number, cosine in pairs if number in rows}
    query = table.query().nearest_to(vector).distance_type("cosine").limit(limit).select([*PAYLOAD, "_distance"])
    if said is not None:
        query = query.where(said)
    query = query.bypass_vector_index() if ann is None else query.nprobes(ann.probes).refine_factor(ann.refine)
    with failures():
        found = await query.to_arrow()
    return {row["id"]: (1.0 - row["_distance"], row) for row in found.to_pylist()}


async def _by_text(index: Index, text: str, limit: int, said: str | None) -> Found:
    """The rows whose captions have these words, by BM25."""
    table = await index.text_table()
    if table is None:
        return {}
    query = table.query().nearest_to_text(lancedb().query.MatchQuery(text, "caption"))
    query = query.limit(limit).select([*PAYLOAD, "_score"])
    if said is not None:
        query = query.where(said)
    with failures():
        found = await query.to_arrow()
    return {row["id"]: (row["_score"], row) for row in found.to_pylist()}


def _hit(row: dict[str, Any], score: float, names: list[Any]) -> Hit:
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
