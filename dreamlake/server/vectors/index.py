"""One index: its rows in a table of LanceDB, and what is known of them in memory.

All who write hold the index's lock, between tasks, processes and servers: two upserts of the same new id at once would
both insert it. Who reads holds nothing, and sees one version of the table.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from anyio import to_thread

from dreamlake.core.arrowrows import arrow, wire_columns
from dreamlake.core.vectors import Vectors, as_vector
from dreamlake.core.wirevectors import Updated, UpdateRow, Where
from dreamlake.server.errors import Refused
from dreamlake.server.taskpool import to_the_end
from dreamlake.server.vectors.filters import any_of, condition
from dreamlake.server.vectors.known import Known, Numbers
from dreamlake.server.vectors.lance import failures, lancedb
from dreamlake.server.vectors.rows import as_row, hashes, matrix, stored, table_schema
from dreamlake.server.vectors.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PAYLOAD", "Index", "Lock"]

Lock = Callable[[], AbstractAsyncContextManager[None]]

PAYLOAD = ["id", "caption", "videoId", "st", "et", "fs", "fe", "frames", "extra"]
BATCH = 8192  # rows that are read at a time
REBUILT = 250_000  # rows whose captions are indexed anew whenever some have changed: a quarter of a second


class Index:
    """One index.

    Args:
        connection: to LanceDB.
        name: of the table.
        dim: of its vectors.
        lock: that all who write to it hold.
    """

    def __init__(self, connection: Any, name: str, dim: int, lock: Lock) -> None:
        self.name = name
        self.dim = dim
        self.lock = lock
        self.commits = 0  # of this process, since somebody has looked after the table
        self.used = 0.0
        self._connection = connection
        self._table: Any = None
        self._known: Known | None = None
        self._counted = (-1, 0)  # at which version of the table, and how many rows
        self._texts: tuple[int, bool] | None = None  # at which version all captions were indexed; whether there are any
        self._snapshot = Snapshot.empty(dim)
        self._refreshing = asyncio.Lock()

    # -- writing -----------------------------------------------------------------------------------------------------

    async def add(self, rows: pa.Table) -> int:
        """Insert rows, and replace those whose ids are there; returns how many there are then.

        Args:
            rows: as ``read_body`` gives them. Of two with one id the later one counts.
        """
        keys, marks = await to_thread.run_sync(hashes, rows)
        async with self.lock():
            return await to_the_end(partial(self._add, rows, keys, marks))

    async def _add(self, rows: pa.Table, keys: Numbers, marks: Numbers) -> int:
        table = await self.table(make=True)
        known = await self._refreshed(table)
        with failures():
            present, same = known.look(keys, marks)
            kept = _latest(keys)
            kept = kept[~same[kept]]
            if len(kept) < len(keys):
                rows, keys, marks, present = rows.take(kept), keys[kept], marks[kept], present[kept]
            if not rows.num_rows:
                return len(known.key)  # all of it is there already
            # Numbers are never given out twice, not even those of deleted rows: nobody adds a million a second.
            first = max(known.next, time.time_ns() // 1000)
            data = await to_thread.run_sync(stored, rows, keys, marks, first)
            if present.any():
                merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
                version = (await merge.execute(data)).version
            else:
                version = (await table.add(data)).version
                await self._extend(known.version, version, data)
            self._known = known.upserted(version, first + len(keys), keys, marks)
            self.commits += 1
            return len(self._known.key)

    async def _extend(self, before: int, version: int, data: pa.Table) -> None:
        """Take what was just written into the snapshot, if it has all that was there before."""
        if self._snapshot.version != before:
            return
        async with self._refreshing:
            snapshot = self._snapshot
            if snapshot.version == before:
                add = partial(
                    snapshot.added, data["seq"].to_numpy(), matrix(data["vector"], self.dim), data.select(PAYLOAD)
                )
                self._snapshot = replace(await to_thread.run_sync(add), version=version)

    async def delete(self, ids: list[str] | None, where: Where | None) -> tuple[int, int]:
        """Delete rows; how many went, and how many are left."""
        parts = [condition(where), None if ids is None else any_of("id", ids)]
        said = " AND ".join(part for part in parts if part)
        if not said or ids == []:
            raise Refused(400, "say which rows are to be deleted: ids, or a condition")
        async with self.lock():
            return await to_the_end(partial(self._delete, said))

    async def _delete(self, said: str) -> tuple[int, int]:
        table = await self.table()
        if table is None:
            return 0, 0
        with failures():
            before = await table.count_rows()
            await table.delete(said)
            left = await table.count_rows()
            self.commits += 1
            if left < before and await self._text_index(table):
                await self._index_text(table)  # what is gone would be counted in the weights of words
        return before - left, left

    async def update(self, data: UpdateRow) -> Updated:
        """Change a row."""
        caption = None if data.caption is msgspec.UNSET else data.caption
        vector = None if data.vector is msgspec.UNSET else as_vector(data.vector, self.dim)
        extra = None if data.extra is msgspec.UNSET else data.extra
        async with self.lock():
            return await to_the_end(partial(self._update, data.id, caption, vector, extra))

    async def _update(
        self, row_id: str, caption: str | None, vector: Vectors | None, extra: dict[str, Any] | None
    ) -> Updated:
        table = await self.table()
        found = []
        if table is not None:
            with failures():
                query = table.query().where(any_of("id", [row_id])).select([*wire_columns(), "digest"]).limit(1)
                found = (await query.to_arrow()).to_pylist()
        if not found:
            raise Refused(404, f"there is no row {row_id}")
        row = as_row(found[0], caption, vector, extra)
        await self._add(row, *hashes(row))
        return Updated(row_id, row["caption"][0].as_py(), msgspec.json.decode(row["extra"][0].as_py()))

    # -- reading -----------------------------------------------------------------------------------------------------

    async def table(self, *, make: bool = False) -> Any:
        """The table; None when nothing was written yet, unless it is to be made."""
        if self._table is None:
            with failures():
                try:
                    self._table = await self._connection.open_table(self.name)
                except (ValueError, FileNotFoundError):  # as LanceDB says that there is none
                    if not make:
                        return None
                    schema = table_schema(self.dim)
                    self._table = await self._connection.create_table(self.name, schema=schema, exist_ok=True)
        return self._table

    async def count(self) -> int:
        """How many rows there are."""
        table = await self.table()
        if table is None:
            return 0
        with failures():
            version = await table.version()
            if self._counted[0] != version:
                self._counted = version, int(await table.count_rows())
        return self._counted[1]

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """All rows as they go over the wire, of one version of the table."""
        table = await self.table()
        if table is not None:
            with failures():
                reader = await table.query().select(wire_columns()).to_batches(max_batch_length=BATCH)
                async for batch in reader:
                    yield batch

    async def rows_of(self, wanted: Mapping[int, int | None], columns: list[str]) -> dict[int, dict[str, Any]]:
        """The rows with these numbers, by them.

        Args:
            wanted: the numbers, and where LanceDB says that the rows are, if that was asked.
            columns: of the rows.
        """
        found: dict[int, dict[str, Any]] = {}
        places = [place for place in wanted.values() if place is not None]
        table = await self.table()
        if places:
            with suppress(RuntimeError, OSError):  # they have been moved meanwhile
                taken = await table.take_row_ids(places).select([*columns, "seq"]).to_arrow()
                found = {row["seq"]: row for row in taken.to_pylist() if row["seq"] in wanted}
        if left := [number for number in wanted if number not in found]:
            with failures():
                said = f"seq IN ({', '.join(map(str, left))})"
                read = await table.query().where(said).select([*columns, "seq"]).to_arrow()
            found |= {row["seq"]: row for row in read.to_pylist()}
        return found

    async def numbers(self, said: str) -> Numbers:
        """The numbers of the rows for which a condition holds."""
        table = await self.table()
        with failures():
            found = await table.query().where(said).select(["seq"]).to_arrow()
        return np.asarray(found["seq"].to_numpy())

    # -- what is known in memory -------------------------------------------------------------------------------------

    async def _refreshed(self, table: Any) -> Known:
        """What is known of the rows, as of now; the lock is held."""
        version = await table.version()
        if self._known is None or self._known.version != version:
            found = await table.query().select(["seq", "key", "mark"]).to_arrow()
            columns = [found[name].to_numpy() for name in ("seq", "key", "mark")]
            self._known = await to_thread.run_sync(Known.of, version, *columns)
        return self._known

    async def snapshot(self) -> Snapshot:
        """All rows in memory, as of now."""
        async with self._refreshing:
            table = await self.table()
            if table is not None:
                with failures():
                    version = await table.version()
                    if version != self._snapshot.version:
                        read = await self._read(table, self._snapshot)
                        self._snapshot = replace(read, version=version)
            return self._snapshot

    async def _read(self, table: Any, snapshot: Snapshot) -> Snapshot:
        """With what has come since, and without what has gone."""
        there = (await table.query().select(["seq"]).to_arrow())["seq"].to_numpy()
        snapshot = await to_thread.run_sync(lambda: snapshot.keep(there).reserve(len(there)))
        if len(there) == len(snapshot.seq):
            return snapshot
        new = table.query().where(f"seq > {snapshot.last}") if snapshot.last >= 0 else table.query()
        async for batch in await new.select(["seq", "vector", *PAYLOAD]).to_batches(max_batch_length=BATCH):
            rows = arrow().Table.from_batches([batch])
            add = partial(
                snapshot.added, rows["seq"].to_numpy(), matrix(rows["vector"], self.dim), rows.select(PAYLOAD)
            )
            snapshot = await to_thread.run_sync(add)
        return replace(snapshot, payload=None if snapshot.payload is None else snapshot.payload.combine_chunks())

    async def sort(self) -> None:
        """Sort the vectors in memory into neighbourhoods, if most are not; all of them are compared meanwhile."""
        snapshot = await self.snapshot()
        if len(snapshot.seq) and snapshot.outgrown:
            made = await to_thread.run_sync(snapshot.sorted, abandon_on_cancel=True)
            async with self._refreshing:
                if self._snapshot.version >= 0:  # it was not let go of meanwhile; what has changed since is read again
                    self._snapshot = made

    @property
    def unsorted(self) -> bool:
        """Whether ``sort`` has something to do."""
        return self.held > 0 and self._snapshot.outgrown

    def forget(self) -> int:
        """Let go of the vectors; how many bytes they took."""
        freed = self.nbytes
        self._snapshot = Snapshot.empty(self.dim)
        return freed

    @property
    def held(self) -> int:
        """How many rows are in memory."""
        return len(self._snapshot.seq)

    @property
    def nbytes(self) -> int:
        """Of what is in memory."""
        return self._snapshot.nbytes

    # -- captions ----------------------------------------------------------------------------------------------------

    async def text_table(self) -> Any:
        """The table with its captions indexed; None when there are no captions.

        BM25 weighs a word by how many captions have it. LanceDB counts those that it has indexed, so rows that came
        since would be ranked by other weights: they are indexed before the search, up to a size at once.
        """
        table = await self.table()
        if table is None:
            return None
        with failures():
            version = await table.version()
            if self._texts is None or self._texts[0] != version:
                self._texts = version, await self._indexed_texts(table)  # looked at again when that has changed it
        return table if self._texts[1] else None

    async def _indexed_texts(self, table: Any) -> bool:
        """Index the captions that are not, if any; whether there are captions."""
        name = await self._text_index(table)
        stats = await table.index_stats(name) if name else None
        if stats is not None:
            rows = stats.num_indexed_rows + stats.num_unindexed_rows
            if stats.num_unindexed_rows <= (0 if rows <= REBUILT else rows // 100):
                return True
        elif not (await table.query().where("caption != ''").select(["seq"]).limit(1).to_arrow()).num_rows:
            return False
        async with self.lock():
            await to_the_end(partial(self._index_text, table))
        return True

    async def _index_text(self, table: Any) -> None:
        # As SQLite's FTS5 does it, unless it is told otherwise: words as they are, in any case and without accents.
        config = lancedb().index.FTS(
            with_position=False, stem=False, remove_stop_words=False, max_token_length=None, ascii_folding=True
        )
        await table.create_index("caption", config=config, replace=True)

    async def _text_index(self, table: Any) -> str | None:
        found = [one.name for one in await table.list_indices() if one.columns == ["caption"]]
        return found[0] if found else None


def _latest(keys: Numbers) -> Numbers:
    """The last row of each id."""
    _, last = np.unique(keys[::-1], return_index=True)
    return np.sort(len(keys) - 1 - last)
