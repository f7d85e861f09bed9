"""The journal of one bulk run: what became of each row, in SQLite, so that a run which died goes on where it was.

A row is noted when its source gives it, and again when its rollout is in the sink. What is written here outlives the
process at once, and a loss of power when the next shard of the metadata is written. Memory does not grow with the rows.
"""

from __future__ import annotations

import fcntl
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dreamlake import errors
from dreamlake.core.bulk import FailedRow
from dreamlake.core.rowids import file_id, numbered_id, positional_id
from dreamlake.errors import ConfigError, DreamError, DreamlakeError, UsageError

__all__ = ["Claim", "RunJournal"]

VERSION = 1
BATCH = 1000
CACHE_KILOBYTES = 512  # rows are looked up in about the order in which they were noted

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (
    row_id TEXT PRIMARY KEY COLLATE NOCASE, -- there are file systems that do not tell A from a
    source_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    pass INTEGER NOT NULL,
    state TEXT NOT NULL,
    content BLOB,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT, -- the name of its class, a space, and what it says
    charge REAL NOT NULL DEFAULT 0,
    record BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shards (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS in_order ON rows (position, row_id);
"""


@dataclass(frozen=True)
class Claim:
    """A row that the source gave, and what is known of it.

    Attributes:
        row_id: by which its files are called.
        source_id: what the source calls it.
        position: in the source, from 0.
        state: ``open``, or what an earlier call made of it: ``ok`` or ``failed``.
        content: digest of what was in it then, where that was noted.
        attempts: that were made for it then.
        error: why it failed then.
    """

    row_id: str
    source_id: str
    position: int
    state: str
    content: bytes | None = None
    attempts: int = 0
    error: DreamlakeError | None = None


class RunJournal:
    """The journal in a folder. Only one call at a time has it open; its threads share it.

    Args:
        folder: is made where there is none.
        identity: what makes it the same run: source, sink, spec and options.

    Raises:
        UsageError: another call is at this run, or it is the journal of another run.
        ConfigError: it cannot be read or written.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._lock = threading.Lock()
        self._shards = 0
        self._numbers: dict[str, int] = {}  # of rows that are called the same
        self.is_new = not (folder / "journal.db").exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._held = (folder / "lock").open("w")
        except OSError as error:
            raise ConfigError(f"the journal of the run cannot be written: {error}") from None
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._held.close()
            raise UsageError(f"{identity['sink']} is written to by another call now; wait for it, or stop it") from None
        self._database = sqlite3.connect(":memory:")  # until there is another one to close
        try:
            self._database = sqlite3.connect(folder / "journal.db", check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(f"PRAGMA cache_size=-{CACHE_KILOBYTES}")
            self._database.executescript(_SCHEMA)
            self.run_id = self._check(identity)
            self._pass = self._begin_pass()
        except sqlite3.Error as error:
            self.close()
            raise ConfigError(f"{folder / 'journal.db'}: {error}") from None
        except BaseException:
            self.close()
            raise

    def _check(self, identity: Mapping[str, Any]) -> str:
        """Make sure that it is our run's; returns the id of the run."""
        facts = dict(self._database.execute("SELECT name, value FROM facts"))
        ours = {name: "" if value is None else str(value) for name, value in identity.items()}
        if not facts:
            facts = {"version": str(VERSION), "run": secrets.token_hex(8), **ours}
            self._database.execute("BEGIN")
            self._database.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
            self._database.execute("COMMIT")
        elif facts.get("version") != str(VERSION):
            raise UsageError(f"{identity['sink']} was written by another version of Dreamlake; write to another place")
        for name, value in ours.items():
            if facts.get(name) != value:
                raise UsageError(
                    f"{identity['sink']} holds rollouts of another run, whose {name} is "
                    f"{facts.get(name) or 'not given'!r} and not {value or 'not given'!r}; write to another place"
                )
        return str(facts["run"])

    def _begin_pass(self) -> int:
        (last,) = self._database.execute("SELECT coalesce(max(pass), 0) FROM rows").fetchone()
        return int(last) + 1

    # -- rows --------------------------------------------------------------------------------------------------------

    def claim(self, source_id: str | None, position: int) -> Claim:
        """Note a row that the source gives; call it in the order of the source.

        Args:
            source_id: what the source calls it; None where it gives no names.
            position: in the source, from 0.
        """
        name = positional_id(position) if source_id is None else source_id
        first = file_id(name)
        with self._lock:
            if not self._database.in_transaction:
                self._database.execute("BEGIN")  # a claim that a crash loses is made again; `_write` commits
            row_id = first
            while (known := self._row(row_id)) is not None and known["pass"] == self._pass:
                # Another row of this pass has this name, and perhaps many have.
                number = self._numbers[first] = self._numbers.get(first, 1) + 1
                row_id = numbered_id(first, number)
            if known is None:
                self._database.execute(
                    "INSERT INTO rows (row_id, source_id, position, pass, state) VALUES (?, ?, ?, ?, 'open')",
                    (row_id, name, position, self._pass),
                )
                return Claim(row_id, name, position, "open")
            self._database.execute(
                "UPDATE rows SET position = ?, pass = ?, source_id = ? WHERE row_id = ?",
                (position, self._pass, name, row_id),
            )
        return Claim(
            known["row_id"], name, position, known["state"], known["content"], known["attempts"], _error(known["error"])
        )

    def reopen(self, row_id: str) -> None:
        """A row is to be done again: its rollout is not where it was."""
        self._write("UPDATE rows SET state = 'open', record = NULL WHERE row_id = ?", (row_id,))

    def done(self, row_id: str, content: bytes, attempts: int, charge: float, record: Mapping[str, Any]) -> None:
        """The rollout of a row is in the sink.

        Args:
            row_id: of the row.
            content: digest of what was sent for it.
            attempts: requests that it took.
            charge: USD.
            record: its line of the metadata.
        """
        self._write(
            "UPDATE rows SET state = 'ok', content = ?, attempts = ?, error = NULL, charge = ?, record = ? "
            "WHERE row_id = ?",
            (content, attempts, charge, msgspec.json.encode(record), row_id),
        )

    def failed(self, row_id: str, error: DreamlakeError, attempts: int) -> None:
        """There is no rollout of a row."""
        said = f"{type(error).__name__} {error}"
        self._write(
            "UPDATE rows SET state = 'failed', error = ?, attempts = ? WHERE row_id = ?", (said, attempts, row_id)
        )

    def records(self) -> Iterator[dict[str, Any]]:
        """The metadata of all rollouts, in the order of the source."""
        query = (
            "SELECT position, row_id, record FROM rows WHERE state = 'ok' AND (position, row_id) > (?, ?) "
            "ORDER BY position, row_id LIMIT ?"
        )
        after = (-1, "")
        while True:
            with self._lock:
                found = self._database.execute(query, (*after, BATCH)).fetchall()
            for position, row_id, record in found:
                yield {**msgspec.json.decode(record), "row_id": row_id, "position": position}
            if len(found) < BATCH:
                return
            after = found[-1][:2]

    def failures(self) -> list[FailedRow]:
        """The rows that failed, in the order of the source."""
        with self._lock:
            found = self._database.execute(
                "SELECT row_id, error, attempts FROM rows WHERE state = 'failed' ORDER BY position"
            ).fetchall()
        return [FailedRow(row_id, _error(said) or DreamError(""), attempts) for row_id, said, attempts in found]

    def totals(self) -> tuple[int, float]:
        """How many rollouts there are, and what they cost in USD."""
        with self._lock:
            ok, cost = self._database.execute(
                "SELECT count(*), coalesce(sum(charge), 0) FROM rows WHERE state = 'ok'"
            ).fetchone()
        return int(ok), float(cost)

    # -- parts of the metadata that are in the sink until all of it is ------------------------------------------------

    def new_shard(self) -> str:
        """The name of the next part, which none has had before."""
        with self._lock:
            self._shards += 1
            name = f"part-{self._pass:04d}-{self._shards:05d}.parquet"
            self._database.execute("INSERT INTO shards VALUES (?)", (name,))
            self._commit()
        return name

    def shards(self) -> list[str]:
        """The names of all parts."""
        with self._lock:
            return [name for (name,) in self._database.execute("SELECT name FROM shards ORDER BY name")]

    def forget_shards(self) -> None:
        """There are no parts any more."""
        self._write("DELETE FROM shards", ())

    # -- the file ----------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Bring what was noted so far safely onto the disk."""
        with self._lock, suppress(sqlite3.OperationalError):  # a reader in another process may keep it from all of it
            self._commit()
            self._database.execute("PRAGMA wal_checkpoint(FULL)")

    def close(self) -> None:
        """Let go of the file, and of the run."""
        with self._lock:
            self._commit()
            self._database.close()
            self._held.close()

    def _write(self, query: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._database.execute(query, values)
            self._commit()

    def _commit(self) -> None:
        if self._database.in_transaction:
            self._database.execute("COMMIT")

    def _row(self, row_id: str) -> dict[str, Any] | None:
        cursor = self._database.execute(
            "SELECT row_id, pass, state, content, attempts, error FROM rows WHERE row_id = ?", (row_id,)
        )
        row = cursor.fetchone()
        return None if row is None else dict(zip([column[0] for column in cursor.description], row, strict=True))


def _error(said: str | None) -> DreamlakeError | None:
    """An error as it was, by the name of its class."""
    if said is None:
        return None
    name, _, text = said.partition(" ")
    kind = getattr(errors, name, None)
    plain = isinstance(kind, type) and issubclass(kind, DreamlakeError) and kind is not errors.MissingExtraError
    return kind(text) if plain and kind is not None else DreamError(text)
