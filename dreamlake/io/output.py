"""What a run writes: rollouts into the sink and the journal, and metadata in parts, in the end as one file."""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from dreamlake.errors import DreamlakeError, MissingExtraError, SinkError
from dreamlake.io.journal import Claim, RunJournal
from dreamlake.io.sink import METADATA, SHARDS, RolloutSink

__all__ = ["Output", "plain"]

SHARD_ROWS = 500
SHARD_SECONDS = 30.0
BATCH = 1000
LONGEST_VALUE = 4096


class Output:
    """The sink and the journal of one run. Blocking; several threads may use it at once.

    Args:
        sink: takes the rollouts.
        journal: of the run.
        folder: of the journal.

    Raises:
        MissingExtraError: pyarrow is not installed, and the sink keeps metadata.
        SinkError: the sink cannot be written to.
    """

    def __init__(self, sink: RolloutSink, journal: RunJournal, folder: Path) -> None:
        self._sink = sink
        self._journal = journal
        self._folder = folder
        self._lock = threading.Lock()
        self._pending: list[dict[str, Any]] = []
        self._written = time.monotonic()
        # Arrow keeps memory for each thread that has used it. With one for all parts it does so once.
        self._parquet = ThreadPoolExecutor(1, "dreamlake-parquet")
        if sink.keeps_metadata:
            _arrow()
        for part in folder.glob("*.part"):
            part.unlink(missing_ok=True)
        _stored(sink, lambda: sink.open(folder, resumed=not journal.is_new))

    def has(self, claim: Claim) -> bool:
        """Whether the rollout of a row is in the sink, and need not be made again."""
        if claim.state != "ok":
            return False
        if bool(_stored(self._sink, lambda: self._sink.has(claim.row_id))):
            return True
        self._journal.reopen(claim.row_id)
        return False

    def store(
        self, claim: Claim, content: bytes, attempts: int, charge: float, record: Mapping[str, Any], video: bytes
    ) -> None:
        """A rollout goes into the sink, and is done.

        Args:
            claim: the row.
            content: digest of what was sent.
            attempts: requests that it took.
            charge: USD.
            record: the line of the metadata.
            video: the mp4.

        Raises:
            SinkError: it cannot be written.
        """
        _stored(self._sink, lambda: self._sink.write(claim.row_id, video, record))
        self.note(claim, content, attempts, charge, record)

    def note(self, claim: Claim, content: bytes, attempts: int, charge: float, record: Mapping[str, Any]) -> None:
        """A rollout is in the sink."""
        self._journal.done(claim.row_id, content, attempts, charge, record)
        with self._lock:
            self._pending.append({**record, "row_id": claim.row_id, "position": claim.position})
            now = time.monotonic()
            due = len(self._pending) >= SHARD_ROWS or now - self._written >= SHARD_SECONDS
            rows, self._pending = (self._pending, []) if due else ([], self._pending)
            self._written = now if due else self._written
        if rows:
            self._journal.sync()
            self._write(f"{SHARDS}/{self._journal.new_shard()}", sorted(rows, key=lambda row: row["position"]))

    def finish(self) -> str:
        """Write the metadata of all rollouts, in the order of the source, and close the sink.

        Returns:
            Where the rollouts are.

        Raises:
            SinkError: it cannot be written.
        """
        self._journal.sync()
        with self._parquet:
            self._write(METADATA, self._journal.records())
        shards = [f"{SHARDS}/{name}" for name in self._journal.shards()]
        uri: str = _stored(self._sink, lambda: self._sink.finalize(shards))
        self._journal.forget_shards()
        return uri

    def _write(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        if self._sink.keeps_metadata:
            part = self._folder / f"{secrets.token_hex(8)}.part"
            try:
                self._parquet.submit(_write_parquet, part, rows).result()
                _stored(self._sink, lambda: self._sink.write_metadata(name, part))
            finally:
                part.unlink(missing_ok=True)


def _stored(sink: RolloutSink, call: Any) -> Any:
    """Call a method of a sink; whatever goes wrong in it is a SinkError."""
    try:
        return call()
    except DreamlakeError:
        raise
    except Exception as error:
        raise SinkError(f"{sink.uri}: {str(error) or type(error).__name__}") from error


def _arrow() -> Any:
    try:
        import pyarrow.json
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("io", "the metadata of rollouts") from error
    return pyarrow


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A parquet file of rows, some of which are in memory at a time."""
    arrow = _arrow()
    # Said here and not found out from rows: a file without any has its columns too.
    columns = {
        "row_id": arrow.string(),
        "file_name": arrow.string(),
        "source_id": arrow.string(),
        "source_index": arrow.int64(),
        "spec": arrow.string(),
        "frames": arrow.int32(),
        "request_id": arrow.string(),
        "engine_wall_ms": arrow.float64(),
        "estimated_charge_usd": arrow.float64(),
        "attempts": arrow.int32(),
        "bytes": arrow.int64(),
        "metadata": arrow.string(),
    }
    schema = arrow.schema(list(columns.items()))
    told = arrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    left = iter(rows)
    with arrow.parquet.ParquetWriter(path, schema) as writer:
        while batch := list(islice(left, BATCH)):
            # Through JSON, because Arrow imports pandas as soon as it sees a list of Python.
            lines = b"\n".join(msgspec.json.encode(_line(row, columns)) for row in batch)
            whole = arrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
            writer.write_table(arrow.json.read_json(io.BytesIO(lines), whole, told))


def _line(row: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    line = {name: row.get(name) for name in columns}
    line["file_name"] = f"videos/{row['row_id']}.mp4"
    line["source_index"] = row["position"]
    # Columns of sources differ, and so may rows; as JSON none is lost, and none takes the name of another.
    line["metadata"] = msgspec.json.encode(row.get("metadata") or {}).decode()
    return line


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a source says of a row, as far as it is text, numbers, and lists and mappings of them.

    Args:
        metadata: of the row. Values that take more than 4 kB, such as other pictures, are left out.
    """
    kept = {}
    for name, value in metadata.items():
        try:
            text = msgspec.json.encode(value, enc_hook=_plainly)
        except (TypeError, ValueError, OverflowError, RecursionError):
            continue
        if len(text) <= LONGEST_VALUE:
            kept[str(name)] = msgspec.json.decode(text)
    return kept


def _plainly(value: Any) -> Any:
    """numpy's numbers and small arrays; anything else as text."""
    if getattr(value, "size", 0) > LONGEST_VALUE:
        raise ValueError("too long")
    return value.tolist() if hasattr(value, "tolist") else str(value)
