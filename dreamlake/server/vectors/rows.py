"""The rows of an index as Arrow has them: on the wire, and in the table.

A body is one Arrow IPC stream. It is hostile until all of it was looked at: its types are exactly ours, nothing in it
is packed, so that it cannot become larger than it came, and every vector can be compared.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from dreamlake.core.arrowrows import arrow, wire_schema
from dreamlake.core.vectors import (
    MAX_CAPTION,
    MAX_DIM,
    MAX_EXTRA,
    MAX_ID,
    Vectors,
    check_caption,
    check_extra,
    check_row_id,
    check_vectors,
    tags,
)
from dreamlake.errors import InvalidVectorError, UsageError
from dreamlake.server.vectors.known import Numbers

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["as_row", "hashes", "matrix", "read_body", "stored", "table_schema"]

_OWN = ("seq", "key", "mark", "tags")
_COMPRESSION = 3  # the field of a RecordBatch in Arrow's Message.fbs


def table_schema(dim: int) -> pa.Schema:
    """What they look like in the table.

    ``seq`` grows with every row, ``key`` is a hash of its id and ``mark`` of all of it; ``tags`` are its extras, to be
    found by.
    """
    pa = arrow()
    own = (pa.int64(), pa.int64(), pa.int64(), pa.list_(pa.string()))
    schema = wire_schema(dim)
    for name, kind in zip(_OWN, own, strict=True):
        schema = schema.append(pa.field(name, kind, nullable=False))
    return schema


# -- from the wire -----------------------------------------------------------------------------------------------------


def read_body(body: bytes) -> pa.Table:
    """The rows of a request, all of which can be taken.

    Raises:
        UsageError: they cannot, and why.
    """
    pa = arrow()
    try:
        _check_packing(pa, body)
        reader = pa.ipc.open_stream(body)
        dim = _dim(pa, reader.schema)
        table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, EOFError, OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"the body is not an Arrow IPC stream of rows: {str(error)[:200]}") from None
    if not table.num_rows:
        raise UsageError("there is no row in the body")
    for field in wire_schema(dim):
        if not field.nullable and table[field.name].null_count:
            raise UsageError(f"{field.name} is missing in a row")
    table = table.combine_chunks()
    if any(chunk.flatten().null_count for chunk in table["vector"].chunks):
        raise InvalidVectorError("a number is missing in a vector")
    check_vectors(matrix(table["vector"], dim))
    _check_texts(pa, table)
    return table


def _dim(pa: Any, schema: pa.Schema) -> int:
    column = schema.field("vector").type if "vector" in schema.names else None
    if column is None or not pa.types.is_fixed_size_list(column) or not 0 < column.list_size <= MAX_DIM:
        raise InvalidVectorError(f"vector is a fixed-size list of 1 to {MAX_DIM} float32")
    dim: int = column.list_size
    expected = wire_schema(dim)
    if [(field.name, field.type) for field in schema] != [(field.name, field.type) for field in expected]:
        said = ", ".join(f"{field.name} {field.type}" for field in expected)
        raise UsageError(f"the columns of a row are {said}")
    return dim


def _check_packing(pa: Any, body: bytes) -> None:
    """Refuse buffers that are compressed: a few bytes of them could fill the memory."""
    reader = pa.ipc.MessageReader.open_stream(body)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        if message.type == "record batch" and _has_field(message.metadata.to_pybytes(), _COMPRESSION):
            raise UsageError("the body is compressed, which is not taken")


def _has_field(metadata: bytes, field: int) -> bool:
    """Whether the header of a message has a field: flatbuffers say so in the table's vtable."""

    def number(at: int, size: int, *, signed: bool = False) -> int:
        if at < 0 or at + size > len(metadata):
            raise UsageError("the body is not an Arrow IPC stream of rows")
        return int.from_bytes(metadata[at : at + size], "little", signed=signed)

    def slot(table: int, index: int) -> int:
        vtable = table - number(table, 4, signed=True)
        offset = 4 + 2 * index
        return number(vtable + offset, 2) if offset < number(vtable, 2) else 0

    message = number(0, 4)
    header = message + slot(message, 2)  # version, header_type, header
    return slot(header + number(header, 4), field) != 0


def _check_texts(pa: Any, table: pa.Table) -> None:
    size = pa.compute.binary_length
    for name, most in (("caption", MAX_CAPTION), ("extra", MAX_EXTRA + 2)):
        if (longest := pa.compute.max(size(table[name])).as_py()) > most:
            raise UsageError(f"{name} has {longest} bytes in one row, and at most {most} are taken")
    if not pa.compute.all(pa.compute.ascii_is_printable(table["id"])).as_py() or not (
        0 < pa.compute.min(size(table["id"])).as_py() <= pa.compute.max(size(table["id"])).as_py() <= MAX_ID
    ):
        for text in table["id"].to_pylist():
            check_row_id(text)
    extras(pa.compute.unique(table["extra"]).to_pylist())
    for name in ("st", "et"):
        if pa.compute.any(pa.compute.invert(pa.compute.is_finite(table[name]))).as_py():
            raise UsageError(f"{name} is not a finite number in one row")


def extras(texts: list[str]) -> list[dict[str, Any]]:
    """What goes with the rows.

    Raises:
        UsageError: a text that is no JSON object.
    """
    found: list[dict[str, Any]] = []
    for text in texts:
        if text == "{}":
            found.append({})
            continue
        try:
            found.append(check_extra(msgspec.json.decode(text, type=dict[str, Any])))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise UsageError(f"extra is not a JSON object: {error}") from None
    return found


# -- into the table ----------------------------------------------------------------------------------------------------


def hashes(table: pa.Table) -> tuple[Numbers, Numbers]:
    """(N,) the hash of each row's id, and of all of it."""
    ids = table["id"].to_pylist()
    keys = _hashed(ids)
    if table["digest"].null_count == len(ids):
        return keys, keys  # their ids say it all
    digests = table["digest"].to_pylist()
    marks = _hashed([one if digest is None else f"{one}/{digest}" for one, digest in zip(ids, digests, strict=True)])
    return keys, marks


def _hashed(texts: list[str]) -> Numbers:
    return np.frombuffer(b"".join([blake2b(one.encode(), digest_size=8).digest() for one in texts]), np.int64)


def stored(table: pa.Table, keys: Numbers, marks: Numbers, first: int) -> pa.Table:
    """The rows as the table has them; their numbers begin with ``first``."""
    pa = arrow()
    numbers = np.arange(first, first + table.num_rows, dtype=np.int64)
    extra = table["extra"].combine_chunks().dictionary_encode()  # those of most rows are like those of others
    found = pa.array([tags(one) for one in extras(extra.dictionary.to_pylist())], pa.list_(pa.string()))
    own = (pa.array(numbers), pa.array(keys), pa.array(marks), found.take(extra.indices))
    schema = table_schema(table.schema.field("vector").type.list_size)
    return pa.Table.from_arrays([*table.columns, *own], schema=schema)


def matrix(column: pa.ChunkedArray, dim: int) -> Vectors:
    """(N, D) the vectors of a column, without a copy where they lie in one piece."""
    parts = [
        np.asarray(chunk.flatten().to_numpy(zero_copy_only=True), np.float32).reshape(-1, dim)
        for chunk in column.chunks
    ]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty((0, dim), np.float32)


def as_row(row: dict[str, Any], caption: str | None, vector: Vectors | None, extra: dict[str, Any] | None) -> pa.Table:
    """A row of the table with some of it changed, as it goes over the wire; what is None stays.

    Args:
        row: as it was read.
        caption: the new one.
        vector: the new one.
        extra: names and values that are added, or replaced.
    """
    pa = arrow()
    schema = wire_schema(len(row["vector"]))
    changed = {name: row[name] for name in schema.names}
    if caption is not None:
        changed["caption"] = check_caption(caption)
    if vector is not None:
        changed["vector"] = vector.tolist()
    if extra is not None:
        known = msgspec.json.decode(row["extra"], type=dict[str, Any])
        changed["extra"] = msgspec.json.encode(check_extra({**known, **extra})).decode()
    said = msgspec.json.encode([changed["caption"], changed["extra"], changed["vector"]])
    changed["digest"] = blake2b(said, digest_size=16).hexdigest()
    return pa.Table.from_pylist([changed], schema=schema)
