"""The routes of vector indexes: ``/indexes/{namespace}/{space}/{name}``, and the folder that it is in as ``prefix``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

from anyio import to_thread
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from dreamlake.core.arrowrows import ARROW, arrow, wire_columns, wire_schema
from dreamlake.core.targets import check_slug
from dreamlake.core.wirevectors import (
    Added,
    Deleted,
    DeleteRows,
    Hits,
    IndexInfo,
    IndexItems,
    SearchVectors,
    Updated,
    UpdateRow,
)
from dreamlake.server.catalog.paging import Cursor, Limit, page_size, path_in, read_cursor, write_cursor
from dreamlake.server.errors import Refused
from dreamlake.server.lake import Lake, OpenLake
from dreamlake.server.settings import Settings
from dreamlake.server.sidecar import timestamp
from dreamlake.server.vectors.index import Index
from dreamlake.server.vectors.records import PlaceOfIndex, Record, find_record, page_of_records
from dreamlake.server.vectors.rows import read_body

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["vectors_router"]

MAX_ENCODER = 200
SMALL = 64 * 1024  # bytes, which are looked at in the time that handing them to a thread takes
READ = {"scope": "read"}  # that they are POST is for what they are asked with

Prefix = Annotated[str | None, QueryParameter(description="the folder that the index is in")]


async def asked_index(
    lake: OpenLake, namespace: FromPath[str], space: FromPath[str], name: FromPath[str], prefix: Prefix = None
) -> PlaceOfIndex:
    """The place in the path and the query."""
    lake.caller.admit(check_slug(namespace, "a namespace"))
    check_slug(space, "a space")
    check_slug(name, "a vector index")
    folder = path_in(prefix)
    return PlaceOfIndex(namespace, space, path_in(f"{folder}/{name}"))


AskedIndex = NamedDependency[PlaceOfIndex]


@get("/")
async def listing(
    lake: OpenLake,
    namespace: FromPath[str],
    space: FromPath[str],
    prefix: Prefix = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> IndexItems:
    """The vector indexes of a space, or of a folder in it, in the order of their paths."""
    lake.caller.admit(check_slug(namespace, "a namespace"))
    place = PlaceOfIndex(namespace, check_slug(space, "a space"), path_in(prefix))
    keys = read_cursor(cursor, 1)
    wanted = page_size(limit)
    records = await page_of_records(lake.database, place, keys[0] if keys else None, wanted + 1)
    items = [await _info(lake, place, record) for record in records[:wanted]]
    return IndexItems(items, write_cursor(records[wanted - 1].path) if len(records) > wanted else None)


@get("/{name:str}")
async def info(lake: OpenLake, place: AskedIndex) -> IndexInfo:
    """What is known of an index."""
    return await _info(lake, place, await find_record(lake.database, place))


@delete("/{name:str}")
async def drop(lake: OpenLake, place: AskedIndex) -> None:
    """Delete an index with all of its rows."""
    await lake.vectors.drop(await find_record(lake.database, place))


@post("/{name:str}/vectors", status_code=200, request_max_body_size=Settings.max_rows_bytes)
async def add(
    request: Request[Any, Any, Any], lake: OpenLake, place: AskedIndex, encoder: FromQuery[str | None] = None
) -> Added:
    """Insert rows, and replace those whose ids are there; the first ones make the index.

    The body is an Arrow IPC stream. All of it is taken, or nothing.
    """
    if encoder is not None and not (0 < len(encoder) <= MAX_ENCODER and encoder.isprintable()):
        raise Refused(400, f"the id of an encoder is a text of 1 to {MAX_ENCODER} printable characters")
    pieces = [piece async for piece in request.stream() if piece]
    small = sum(map(len, pieces)) <= SMALL
    table = _read(pieces) if small else await to_thread.run_sync(_read, pieces)
    record, count = await lake.vectors.add(place, encoder, table)
    return Added(count, record.dim)


@get(
    "/{name:str}/vectors",
    responses={200: ResponseSpec(bytes, description="The rows.", media_type=ARROW, generate_examples=False)},
)
async def rows(lake: OpenLake, place: AskedIndex) -> Stream:
    """All rows, as an Arrow IPC stream."""
    record = await find_record(lake.database, place)
    return Stream(_stream(await lake.vectors.opened(record)), media_type=ARROW)


@post("/{name:str}/search", status_code=200, opt=READ)
async def search(data: JSONBody[SearchVectors], lake: OpenLake, place: AskedIndex) -> Hits:
    """The rows nearest to a vector, those with the words of a text, or both as one ranking."""
    if data.vector is None and data.text is None:
        raise Refused(400, "say what is looked for: a vector, a text, or both")
    return Hits(await lake.vectors.search(place, data))


@post("/{name:str}/delete", status_code=200)
async def delete_rows(data: JSONBody[DeleteRows], lake: OpenLake, place: AskedIndex) -> Deleted:
    """Delete rows."""
    index = await lake.vectors.opened(await find_record(lake.database, place))
    return Deleted(*await index.delete(data.ids, data.where))


@patch("/{name:str}/vectors")
async def update(data: JSONBody[UpdateRow], lake: OpenLake, place: AskedIndex) -> Updated:
    """Change a row."""
    index = await lake.vectors.opened(await find_record(lake.database, place))
    return await index.update(data)


@post("/{name:str}/optimize", status_code=200)
async def optimize(lake: OpenLake, place: AskedIndex, ann: FromQuery[bool] = False) -> IndexInfo:
    """Join what was added in small groups, and index what came since; with ``ann`` approximately, whatever its size."""
    await lake.vectors.optimize(await find_record(lake.database, place), ann=ann)
    return await _info(lake, place, await find_record(lake.database, place))


def vectors_router() -> Router:
    """The routes of vector indexes."""
    handlers = [listing, info, drop, add, rows, search, delete_rows, update, optimize]
    return Router(
        "/indexes/{namespace:str}/{space:str}", route_handlers=handlers, dependencies={"place": Provide(asked_index)}
    )


def _read(pieces: list[bytes]) -> pa.Table:
    """The rows of a body, which is not copied when it came in one piece."""
    return read_body(pieces[0] if len(pieces) == 1 else b"".join(pieces))


async def _info(lake: Lake, place: PlaceOfIndex, record: Record) -> IndexInfo:
    folder, _, name = record.path.rpartition("/")
    return IndexInfo(
        name=name,
        prefix=folder or "/",
        namespace=place.namespace,
        space=place.space,
        count=await (await lake.vectors.opened(record)).count(),
        dim=record.dim,
        encoder=record.encoder,
        created_at=timestamp(record.created_at),
        ann=record.ann,
    )


async def _stream(index: Index) -> AsyncIterator[bytes]:
    """The bytes of an Arrow IPC stream, as they come."""
    pa = arrow()
    schema = wire_schema(index.dim)
    wanted = pa.schema([schema.field(name) for name in wire_columns()])
    sink = _Sink()
    with pa.ipc.new_stream(sink, wanted) as writer:
        async for batch in index.batches():
            columns = [batch[name] for name in wire_columns()]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=wanted))
            yield sink.take()
    yield sink.take()


class _Sink:
    """A file that Arrow writes to, and that is emptied as it fills."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(self._pieces[-1])

    def flush(self) -> None:
        """There is nothing behind it."""

    def take(self) -> bytes:
        """What was written since."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data
