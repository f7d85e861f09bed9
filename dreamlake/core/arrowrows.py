"""The rows of a vector index as they go over the wire: Arrow IPC streams."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamlake.core.vectors import SourceColumns, Vectors, canonical, row_id
from dreamlake.errors import MissingExtraError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "ARROW", "WAITING", "Row", "arrow", "fitting", "in_bodies", "make_row", "read_rows", "wire_columns", "wire_schema",
    "write_rows",
]  # fmt: skip

ARROW = "application/vnd.apache.arrow.stream"
WAITING = 8192  # rows that may wait to be sent; who adds more waits for them
BODY = 16 * 1024**2  # bytes of rows in a request


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is to be added.

    Attributes:
        id: of the row.
        vector: (D,)
        caption: empty for none.
        source: where the vector comes from.
        extra: a JSON object.
        digest: follows from all of that; None where the id does.
    """

    id: str
    vector: Vectors
    caption: str
    source: SourceColumns
    extra: str
    digest: str | None

    @property
    def nbytes(self) -> int:
        """Roughly, on the wire."""
        frames = 0 if self.source.frames is None else 4 * len(self.source.frames)
        return self.vector.nbytes + 4 * len(self.caption) + 4 * len(self.extra) + frames + 200


def make_row(vector: Vectors, caption: str, source: SourceColumns, extra: dict[str, Any], given: str | None) -> Row:
    """A row, under the id that it was given, or else under the one that follows from it."""
    digest = row_id(vector, caption, source, extra)
    return Row(given or digest, vector, caption, source, canonical(extra) if extra else "{}", digest if given else None)


def in_bodies(
    vectors: Vectors,
    captions: Sequence[str],
    sources: Sequence[SourceColumns],
    extras: Sequence[dict[str, Any]],
    ids: Sequence[str] | None,
    found: list[str],
) -> Iterator[list[Row]]:
    """Rows by the request, and their ids as they come."""
    some: list[Row] = []
    size = 0
    for number, vector in enumerate(vectors):
        given = None if ids is None else ids[number]
        row = make_row(vector, captions[number], sources[number], extras[number], given)
        found.append(row.id)
        some.append(row)
        size += row.nbytes
        if size >= BODY:
            yield some
            some, size = [], 0
    if some:
        yield some


def fitting(rows: Sequence[Row]) -> list[Row]:
    """As many of them as go into a request."""
    size = 0
    for number, row in enumerate(rows[:WAITING]):
        size += row.nbytes
        if size >= BODY:
            return list(rows[: number + 1])
    return list(rows[:WAITING])


def arrow() -> Any:
    """Pyarrow, which takes a while to import.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.ipc
    except ImportError as error:
        raise MissingExtraError("vectors", f"vector indexes ({error.name})") from error
    return pyarrow


def wire_schema(dim: int) -> pa.Schema:
    """What rows look like on the wire.

    ``digest`` follows from all that a row says, and is None where the id does; ``extra`` is a JSON object.
    """
    pa = arrow()
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), dim), nullable=False),
            pa.field("caption", pa.string(), nullable=False),
            pa.field("videoId", pa.string()),
            pa.field("st", pa.float64()),
            pa.field("et", pa.float64()),
            pa.field("fs", pa.int64()),
            pa.field("fe", pa.int64()),
            pa.field("frames", pa.list_(pa.int32())),
            pa.field("extra", pa.string(), nullable=False),
            pa.field("digest", pa.string()),
        ]
    )


def write_rows(rows: Sequence[Row]) -> bytes:
    """Rows with vectors of one length as an Arrow IPC stream."""
    pa = arrow()
    dim = len(rows[0].vector)
    flat = np.concatenate([row.vector for row in rows])
    columns: dict[str, Any] = {
        "id": [row.id for row in rows],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat), dim),
        "caption": [row.caption for row in rows],
        "videoId": [row.source.video_id for row in rows],
        "st": [row.source.st for row in rows],
        "et": [row.source.et for row in rows],
        "fs": [row.source.fs for row in rows],
        "fe": [row.source.fe for row in rows],
        "frames": [row.source.frames for row in rows],
        "extra": [row.extra for row in rows],
        "digest": [row.digest for row in rows],
    }
    schema = wire_schema(dim)
    arrays = [
        column if name == "vector" else pa.array(column, schema.field(name).type) for name, column in columns.items()
    ]
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return sink.getvalue()


def read_rows(body: bytes) -> pa.Table:
    """All rows of an index."""
    return arrow().ipc.open_stream(body).read_all()


def wire_columns() -> list[str]:
    """The columns that a client gets back: all but our own, and the digest."""
    return [name for name in wire_schema(1).names if name != "digest"]
