"""The rows of a vector index as they go over the wire: Arrow IPC streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dreamlake.core.vectors import NOWHERE, SourceColumns, Vectors, canonical, row_ids
from dreamlake.errors import MissingExtraError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "ARROW", "WAITING", "Row", "Rows", "arrow", "fitting", "make_row", "read_rows", "wire_columns", "wire_schema",
    "write_rows",
]  # fmt: skip

ARROW = "application/vnd.apache.arrow.stream"
WAITING = 8192  # rows that may wait to be sent; who adds more waits for them
BODY = 16 * 1024**2  # bytes of rows in a request
OTHER = 200  # of a row beside its vector, its texts and its frames


class Row(NamedTuple):
    """A row that is to be added.

    Attributes:
        id: of the row.
        vector: its D float32, as they lie in memory.
        caption: empty for none.
        source: where the vector comes from.
        extra: a JSON object.
        digest: follows from all of that; None where the id does.
    """

    id: str
    vector: bytes
    caption: str
    source: SourceColumns
    extra: str
    digest: str | None


def make_row(vector: Vectors, caption: str, source: SourceColumns, extra: dict[str, Any], given: str | None) -> Row:
    """A row, under the id that it was given, or else under the one that follows from it."""
    data, said = vector.tobytes(), canonical(extra) if extra else "{}"
    [digest] = row_ids([data], [caption], [source], [said])
    return Row(given or digest, data, caption, source, said, digest if given else None)


@dataclass(frozen=True)
class Rows:
    """Rows that are to be added, by their columns.

    Attributes:
        vectors: (N, D)
        captions: N, empty for none.
        sources: N.
        extras: N JSON objects in one spelling.
        given: N ids; None for those that follow from the rows.
    """

    vectors: Vectors
    captions: list[str]
    sources: list[SourceColumns]
    extras: list[str]
    given: list[str] | None

    def bodies(self) -> Iterator[tuple[int, Rows]]:
        """As many of them as go into a request, each with the number of its first row."""
        frames = (one.frames or () for one in self.sources)
        columns: tuple[Iterable[Sized], ...] = (self.captions, self.extras, frames)
        sizes = [np.fromiter(map(len, column), np.int64, len(self.captions)) for column in columns]
        ends = np.cumsum(self.vectors[0].nbytes + OTHER + 4 * sum(sizes))
        first = 0
        while first < len(ends):
            behind = 0 if first == 0 else int(ends[first - 1])
            last = min(int(np.searchsorted(ends, behind + BODY)) + 1, len(ends))
            some = slice(first, last)
            given = None if self.given is None else self.given[some]
            yield first, Rows(self.vectors[some], self.captions[some], self.sources[some], self.extras[some], given)
            first = last

    def write(self) -> tuple[bytes, list[str]]:
        """These as an Arrow IPC stream, and their ids."""
        vectors = np.ascontiguousarray(self.vectors)
        parts = vectors.data.cast("B")
        step = vectors[0].nbytes
        pieces = [parts[at : at + step] for at in range(0, vectors.nbytes, step)]
        digests = row_ids(pieces, self.captions, self.sources, self.extras)
        ids, marks = (digests, None) if self.given is None else (self.given, digests)
        dim = vectors.shape[1]
        return _body(dim, ids, arrow().py_buffer(vectors), self.captions, self.sources, self.extras, marks), ids


def fitting(rows: Sequence[Row]) -> list[Row]:
    """As many of them as go into a request."""
    size = 0
    some = rows[:WAITING]
    for number, row in enumerate(some, 1):
        size += len(row.vector) + _size(row.caption, row.source, row.extra)
        if size >= BODY:
            return list(some[:number])
    return list(some)


def _size(caption: str, source: SourceColumns, extra: str) -> int:
    """Roughly, of a row on the wire, in bytes; without its vector."""
    return OTHER + 4 * (len(caption) + len(extra) + len(source.frames or ()))


def arrow() -> Any:
    """Pyarrow, which takes a while to import; and what the ids of rows are made with is there too.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.ipc
        import xxhash  # noqa: F401 (of ``row_ids``)
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
    ids, vectors, captions, sources, extras, digests = map(list, zip(*rows, strict=True))
    data = arrow().py_buffer(b"".join(vectors))
    marks = None if all(one is None for one in digests) else digests
    return _body(len(vectors[0]) // 4, ids, data, captions, sources, extras, marks)


def _body(
    dim: int,
    ids: list[str],
    vectors: pa.Buffer,
    captions: list[str],
    sources: list[SourceColumns],
    extras: list[str],
    digests: Sequence[str | None] | None,
) -> bytes:
    pa = arrow()
    schema = wire_schema(dim)
    flat = pa.Array.from_buffers(pa.float32(), len(ids) * dim, [None, vectors])
    columns = {
        "id": ids,
        "vector": pa.FixedSizeListArray.from_arrays(flat, dim),
        "caption": captions,
        "extra": extras,
        "digest": digests,
    }
    if any(one is not NOWHERE for one in sources):
        names = {"videoId": "video_id", "st": "st", "et": "et", "fs": "fs", "fe": "fe", "frames": "frames"}
        columns |= {name: [getattr(one, said) for one in sources] for name, said in names.items()}
    arrays = []
    for field in schema:
        column = columns.get(field.name)
        if column is None:
            arrays.append(pa.nulls(len(ids), field.type))
        else:
            arrays.append(column if isinstance(column, pa.Array) else pa.array(column, field.type))
    sink = _Pieces()
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return b"".join(sink.pieces)


class _Pieces:
    """A file that keeps what Arrow writes to it as it is: a buffer that grows would copy the vectors twice."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[Any] = []

    def write(self, data: Any) -> int:
        self.pieces.append(data)
        return len(data)

    def flush(self) -> None:
        """There is nothing behind it."""


def read_rows(body: bytes) -> pa.Table:
    """All rows of an index."""
    return arrow().ipc.open_stream(body).read_all()


def wire_columns() -> list[str]:
    """The columns that a client gets back: all but our own, and the digest."""
    return [name for name in wire_schema(1).names if name != "digest"]
