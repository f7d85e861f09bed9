"""The vector indexes of a lake: opened when they are used, kept apart, looked after in the background."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from dreamlake.core.wirevectors import Ann, Hit, SearchVectors
from dreamlake.server.database import Database
from dreamlake.server.errors import Refused
from dreamlake.server.gate import locked
from dreamlake.server.schema import vector_indexes
from dreamlake.server.settings import Settings
from dreamlake.server.storage import Storage
from dreamlake.server.storage.base import StorageDown
from dreamlake.server.taskpool import to_the_end
from dreamlake.server.vectors.index import Index
from dreamlake.server.vectors.lance import connect, failures
from dreamlake.server.vectors.records import PlaceOfIndex, Record, ensure_record, find_record, record_with_id, set_ann
from dreamlake.server.vectors.search import search
from dreamlake.server.vectors.snapshot import SMALL
from dreamlake.server.vectors.upkeep import FRAGMENTS, build_ann, compact, outgrown

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Indexes"]

log = logging.getLogger(__name__)

OPEN = 64  # indexes that are kept open
TENDED = FRAGMENTS // 2  # commits of this process, after which it looks whether there is something to do
RECORD_SECONDS = 30.0  # after which a search looks whether there is an approximate index now
POLL_SECONDS = 0.005  # while another process writes


class Indexes:
    """All indexes of one lake.

    Args:
        storage: where the tables are.
        database: that knows which there are.
        settings: of the lake.
    """

    def __init__(self, storage: Storage, database: Database, settings: Settings) -> None:
        self._storage = storage
        self._database = database
        self._settings = settings
        self._connection: Any = None
        self._connecting = asyncio.Lock()
        self._open: dict[str, Index] = {}
        self._found: dict[PlaceOfIndex, tuple[float, Record]] = {}  # when, and what
        self._tending: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Break off what is done in the background; it is begun again by whoever adds the next rows."""
        for task in (tasks := list(self._tending.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._open.clear()
        if self._connection is not None:
            self._connection.close()

    # -- what the routes ask for -------------------------------------------------------------------------------------

    async def add(self, place: PlaceOfIndex, encoder: str | None, rows: pa.Table) -> tuple[Record, int]:
        """Insert rows, into a new index if there is none; how many there are then."""
        dim: int = rows.schema.field("vector").type.list_size
        await self._connected()  # an index that no rows can come to is not made
        record = await ensure_record(self._database, place, dim, encoder)
        index = await self.opened(record)
        count = await index.add(rows)
        if index.commits >= TENDED or (count > self._settings.exact_rows and outgrown(record.ann, count)):
            self._tend(record, index)
        return record, count

    async def search(self, place: PlaceOfIndex, data: SearchVectors) -> list[Hit]:
        """What an index has.

        Its record is only read when it was not for a while: as long as its table is there, so is the index.
        """
        cached = self._found.get(place)
        if cached is not None and time.monotonic() - cached[0] < RECORD_SECONDS:
            try:
                return await self._search(cached[1], data)
            except StorageDown:
                self._found.pop(place, None)
                self._open.pop(cached[1].id, None)  # another process may have deleted it, and made it anew
        record = await find_record(self._database, place)
        hits = await self._search(record, data)
        self._found[place] = time.monotonic(), record
        while len(self._found) > OPEN:
            self._found.pop(next(iter(self._found)))
        return hits

    async def _search(self, record: Record, data: SearchVectors) -> list[Hit]:
        index = await self.opened(record)
        count = index.held or await index.count()
        in_memory = self._in_memory(index, count)
        ann = None if data.exact else record.ann
        if ann is not None and in_memory and index.unsorted:
            self._begin(f"{record.id}.sort", index.sort)
        if ann is not None and not in_memory:
            few = data.where is not None and count <= self._settings.exact_rows
            if few or not ann.probes:
                ann = None  # few of the rows that its probes find would fit
        return await search(index, data, ann, in_memory=in_memory)

    async def optimize(self, record: Record, *, ann: bool) -> Ann | None:
        """Do now what is else done in the background.

        Args:
            record: of the index.
            ann: whether an approximate index is made however few rows there are.
        """
        index = await self.opened(record)
        async with self._alone(f"{record.id}.upkeep"):
            await compact(index, force=True)
            await index.text_table()
            rows = await index.count()
            if rows and (ann or (rows > self._settings.exact_rows and outgrown(record.ann, rows))):
                return await self._build_ann(record, index)
        return record.ann

    async def drop(self, record: Record) -> None:
        """Delete an index with all of its rows."""
        index = await self.opened(record)
        async with index.lock():
            await to_the_end(partial(self._drop, record))

    async def _drop(self, record: Record) -> None:
        async with self._database.write() as connection:
            await connection.execute(vector_indexes.delete().where(vector_indexes.c.id == record.id))
        self._open.pop(record.id, None)
        self._found = {place: found for place, found in self._found.items() if found[1].id != record.id}
        with failures():
            await self._connection.drop_table(record.id, ignore_missing=True)

    async def opened(self, record: Record) -> Index:
        """An index of the lake."""
        index = self._open.pop(record.id, None)
        if index is None:
            index = Index(await self._connected(), record.id, record.dim, partial(self._writing, record.id))
        self._open[record.id] = index
        index.used = time.monotonic()
        while len(self._open) > OPEN:
            self._open.pop(next(iter(self._open)))
        return index

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._connection is None:
                self._connection = await connect(self._storage)
            return self._connection

    # -- who writes --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _writing(self, record_id: str) -> AsyncIterator[None]:
        async with self._alone(record_id):
            if await self._record(record_id) is None:
                raise Refused(503, "this index was just deleted; try again", {"Retry-After": "0"})
            yield

    async def _record(self, record_id: str) -> Record | None:
        """The record as it is now. A database that is broken off tidies up later: too late for a lake that closes."""
        return await to_the_end(partial(record_with_id, self._database, record_id))

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        """Keep out the other tasks, the other servers of a PostgreSQL, and the other processes on this folder."""
        folder = self._settings.data / "locks" / f"vectors-{name}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with self._database.alone([f"vectors/{name}"]), locked(folder, poll=POLL_SECONDS):
            yield

    # -- memory ------------------------------------------------------------------------------------------------------

    def _in_memory(self, index: Index, rows: int) -> bool:
        """Whether the vectors of an index may be in memory; those that were not searched for longest make room."""
        wanted = rows * index.dim * 4 * (SMALL + 1) // SMALL  # with what goes with them
        if wanted > self._settings.vector_bytes:
            index.forget()
            return False
        held = sum(one.nbytes for one in self._open.values() if one is not index)
        for one in sorted(self._open.values(), key=lambda one: one.used):
            if held + wanted <= self._settings.vector_bytes:
                break
            if one is not index:
                held -= one.forget()
        return True

    # -- in the background -------------------------------------------------------------------------------------------

    def _tend(self, record: Record, index: Index) -> None:
        self._begin(record.id, partial(self._look_after, record, index))

    def _begin(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if name not in self._tending:
            task = self._tending[name] = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._tending.pop(name, None))

    async def _look_after(self, record: Record, index: Index) -> None:
        try:
            async with self._alone(f"{record.id}.upkeep"):
                await compact(index)
                current = await self._record(record.id)  # another process may have done the rest
                if current is not None:
                    rows = await index.count()
                    if rows > self._settings.exact_rows and outgrown(current.ann, rows):
                        await self._build_ann(current, index)
        except Exception:
            log.exception("the vector index %s could not be looked after", record.path)

    async def _build_ann(self, record: Record, index: Index) -> Ann | None:
        ann = await build_ann(index, in_memory=self._in_memory(index, await index.count()))
        await to_the_end(partial(set_ann, self._database, record.id, ann))
        self._found = {place: found for place, found in self._found.items() if found[1].id != record.id}
        return ann
