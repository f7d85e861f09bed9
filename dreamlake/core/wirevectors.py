"""What goes over the wire about vector indexes. Rows themselves go as Arrow IPC streams (``arrowrows``)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from dreamlake.core.vectors import MAX_DIM

__all__ = [
    "MAX_IDS", "MAX_LIMIT", "Added", "Ann", "DeleteRows", "Deleted", "Hit", "Hits", "IndexInfo", "IndexItems", "Leg",
    "SearchVectors", "UpdateRow", "Updated", "Where",
]  # fmt: skip

MAX_LIMIT = 1000
MAX_IDS = 10_000

Leg = Literal["vector", "text"]
RowId = Annotated[str, Meta(min_length=1, max_length=256)]
Seconds = Annotated[float, Meta(description="seconds of the video")]
Numbers = Annotated[list[float], Meta(min_length=1, max_length=MAX_DIM)]


class Where(Struct, rename="camel"):
    """Which rows are meant: those for which all of this holds.

    ``videoIds`` are any of them; ``st`` and ``et`` a range of time that the row's clip overlaps; ``extra`` the values
    of which a row has one under that name.
    """

    video_ids: Annotated[list[RowId], Meta(min_length=1, max_length=1000)] | None = None
    st: Seconds | None = None
    et: Seconds | None = None
    extra: Annotated[dict[str, Annotated[list[Any], Meta(max_length=1000)]], Meta(max_length=100)] = {}


class SearchVectors(Struct, rename="camel"):
    """Look for the rows nearest to a vector (by cosine), for a text in captions (by BM25), or both as one ranking.

    ``exact`` has all vectors compared also where there is an approximate index.
    """

    vector: Numbers | None = None
    text: Annotated[str, Meta(min_length=1, max_length=10_000)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 10
    where: Where | None = None
    exact: bool = False


class Hit(Struct, rename="camel"):
    """A row that was found. The score is the cosine, BM25's, or that of the fused ranking.

    ``fe`` is the last frame; ``frames`` are all of them, where they do not follow each other.
    """

    id: str
    score: float
    caption: str
    video_id: str | None
    st: float | None
    et: float | None
    fs: int | None
    fe: int | None
    frames: list[int] | None
    extra: dict[str, Any]
    matched_by: list[Leg]


class Hits(Struct, rename="camel"):
    """What was found, best first."""

    items: list[Hit]


class Added(Struct, rename="camel"):
    """The rows are there; how many the index has now."""

    count: int
    dim: int


class Ann(Struct, rename="camel"):
    """The approximate index over the vectors, and the recall@10 that was measured when it was made.

    Without probes it was not good enough, and is not used.
    """

    rows: int
    recall: float
    probes: int
    refine: int


class IndexInfo(Struct, rename="camel"):
    """A vector index, by its name in the folder ``prefix``. ``ann`` is None while all vectors are compared."""

    name: str
    prefix: str
    namespace: str
    space: str
    count: int
    dim: int
    encoder: str | None
    created_at: str
    ann: Ann | None = None


class IndexItems(Struct, rename="camel"):
    """One page of indexes in the order of their paths; ``nextCursor`` asks for the next one."""

    items: list[IndexInfo]
    next_cursor: str | None = None


class DeleteRows(Struct, rename="camel"):
    """Delete the rows with these ids, or those for which a condition holds."""

    ids: Annotated[list[RowId], Meta(max_length=MAX_IDS)] | None = None
    where: Where | None = None


class Deleted(Struct, rename="camel"):
    """How many rows went, and how many are left."""

    deleted: int
    count: int


class UpdateRow(Struct, rename="camel"):
    """Change a row; what is not named stays. Of ``extra`` the names that are given are replaced."""

    id: RowId
    caption: str | UnsetType = UNSET
    vector: Numbers | UnsetType = UNSET
    extra: dict[str, Any] | UnsetType = UNSET


class Updated(Struct, rename="camel"):
    """The row as it is now."""

    id: str
    caption: str
    extra: dict[str, Any]
