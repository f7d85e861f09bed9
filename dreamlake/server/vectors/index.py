"""One index: its rows in a table of LanceDB, and what is known of them in memory.

All who write hold the index's lock, between tasks, processes and servers: two upserts of the same new id at once would
both insert it. Who reads holds nothing, and sees one version of the table.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from anyio import to_thread
from numpy.typing import NDArray

from dreamlake.core.arrowrows import arrow, wire_columns
from dreamlake.core.vectors import Vectors, as_vector
from dreamlake.core.wirevectors import Updated, UpdateRow, Where
from dreamlake.server.errors import Refused
from dreamlake.server.taskpool import to_the_end
from dreamlake.server.vectors.filters import any_of, condition
from dreamlake.server.vectors.lance import failures, lancedb
from dreamlake.server.vectors.rows import Hashes, as_row, hashes, matrix, stored, table_schema
from dreamlake.server.vectors.snapshot import Known, Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Index", "Lock"]

Lock = Callable[[], AbstractAsyncContextManager[None]]

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
        self._snapshot: Snapshot | None = None
        self._snapshot_version = -1
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

    async def _add(self, rows: pa.Table, keys: Hashes, marks: Hashes) -> int:
        table = await self.table(make=True)
        known = await self._refreshed(table)
        with failures():
            present = np.isin(keys, known.key)
            if present.any() or len(np.unique(keys)) < len(keys):
                kept = _latest(rows, marks, present, known)
                rows, keys, marks, present = rows.take(kept), keys[kept], marks[kept], present[kept]
            if not rows.num_rows:
                return len(known.seq)  # all of it is there already
            # Numbers are never given out twice, not even those of deleted rows: nobody adds a million a second.
            first = max(known.next, time.time_ns() // 1000)
            data = await to_thread.run_sync(stored, rows, keys, marks, first)
            if present.any():
                merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
                await merge.execute(data)
                self._known = None
            else:
                version = (await table.add(data)).version
                seq = data["seq"].to_numpy()
                self._known = known.grown(version, seq, keys, marks)
                await self._extend(known.version, version, seq, data)
            self.commits += 1
            return len((await self._refreshed(table)).seq)

    async def _extend(self, before: int, version: int, seq: Hashes, data: pa.Table) -> None:
        """Take what was just written into the snapshot, if it has all that was there before."""
        snapshot = self._snapshot
        if snapshot is None or self._snapshot_version != before:
            return
        async with self._refreshing:
            if self._snapshot_version == before:
                await to_thread.run_sync(lambda: snapshot.add(seq, matrix(data["vector"], self.dim)))
                self._snapshot_version = version

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
            return int(await table.count_rows())

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """All rows as they go over the wire, of one version of the table."""
        table = await self.table()
        if table is not None:
            with failures():
                reader = await table.query().select(wire_columns()).to_batches(max_batch_length=BATCH)
                async for batch in reader:
                    yield batch

    async def rows_of(self, seq: Hashes, columns: list[str]) -> dict[int, dict[str, Any]]:
        """The rows with these numbers, by them."""
        if not len(seq):
            return {}
        table = await self.table()
        with failures():
            said = f"seq IN ({', '.join(map(str, seq.tolist()))})"
            found = await table.query().where(said).select([*columns, "seq"]).to_arrow()
        return {row["seq"]: row for row in found.to_pylist()}

    async def numbers(self, said: str) -> Hashes:
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
            found = (await table.query().select(["seq", "key", "mark"]).to_arrow()).sort_by("seq")
            self._known = Known(version, *(found[name].to_numpy() for name in ("seq", "key", "mark")))
        return self._known

    async def snapshot(self) -> Snapshot:
        """All vectors in memory, as of now."""
        async with self._refreshing:
            table = await self.table()
            if self._snapshot is None:
                self._snapshot = Snapshot(self.dim)
            if table is None:
                return self._snapshot
            with failures():
                version = await table.version()
                if version != self._snapshot_version:
                    await self._read(table, self._snapshot)
                    self._snapshot_version = version
            return self._snapshot

    async def _read(self, table: Any, snapshot: Snapshot) -> None:
        """Take in what has come and gone since."""
        there = (await table.query().select(["seq"]).to_arrow())["seq"].to_numpy()
        snapshot.keep(there)
        last = int(snapshot.seq[-1]) if len(snapshot.seq) else -1
        snapshot.reserve(len(there))
        new = table.query().where(f"seq > {last}") if last >= 0 else table.query()
        pieces = []
        async for batch in await new.select(["seq", "vector"]).to_batches(max_batch_length=BATCH):
            seq = batch["seq"].to_numpy()
            if len(seq) and seq[0] > last and bool((np.diff(seq) > 0).all()):
                vectors = matrix(arrow().chunked_array([batch["vector"]]), self.dim)
                await to_thread.run_sync(snapshot.add, seq, vectors)
                last = int(seq[-1])
            else:
                pieces.append(batch)
        if pieces:  # not in their order, which LanceDB keeps but does not promise
            rest = arrow().Table.from_batches(pieces).sort_by("seq")
            held = snapshot.seq
            vectors = np.concatenate([snapshot.vectors, matrix(rest["vector"], self.dim)])
            seq = np.concatenate([held, rest["seq"].to_numpy()])
            order = np.argsort(seq)
            snapshot.seq = held[:0]
            await to_thread.run_sync(snapshot.add, seq[order], vectors[order])

    def forget(self) -> int:
        """Let go of the vectors; how many bytes they took."""
        freed = self.nbytes
        self._snapshot, self._snapshot_version = None, -1
        return freed

    @property
    def nbytes(self) -> int:
        """Of the vectors in memory."""
        return 0 if self._snapshot is None else self._snapshot.nbytes

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
            name = await self._text_index(table)
            stats = await table.index_stats(name) if name else None
            if stats is not None:
                rows = stats.num_indexed_rows + stats.num_unindexed_rows
                if stats.num_unindexed_rows <= (0 if rows <= REBUILT else rows // 100):
                    return table
            elif not (await table.query().where("caption != ''").select(["seq"]).limit(1).to_arrow()).num_rows:
                return None
            async with self.lock():
                await to_the_end(partial(self._index_text, table))
        return table

    async def _index_text(self, table: Any) -> None:
        # As SQLite's FTS5 does it, unless it is told otherwise: words as they are, in any case and without accents.
        config = lancedb().index.FTS(
            with_position=False, stem=False, remove_stop_words=False, max_token_length=None, ascii_folding=True
        )
        await table.create_index("caption", config=config, replace=True)

    async def _text_index(self, table: Any) -> str | None:
        found = [one.name for one in await table.list_indices() if one.columns == ["caption"]]
        return found[0] if found else None


def _latest(rows: pa.Table, marks: Hashes, present: NDArray[np.bool_], known: Known) -> Hashes:
    """Which rows are to be written: of each id the last, and not those that are there exactly so."""
    last = {one: number for number, one in enumerate(rows["id"].to_pylist())}
    kept = np.array(sorted(last.values()), np.int64)
    same = present[kept] & np.isin(marks[kept], known.mark)
    return np.asarray(kept[~same])
