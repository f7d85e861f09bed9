"""What an engine keeps on disk: answers by their Idempotency-Keys, what each customer has spent, and jobs.

One SQLite file, held by one engine at a time. An answer and its price are written in one transaction, so whatever kills
the process, what was computed is either there and paid once, or neither.
"""

from __future__ import annotations

import fcntl
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import msgspec

from dreamlake.errors import ConfigError

__all__ = ["Answer", "JobRow", "Store"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    customer TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    created REAL NOT NULL,
    headers BLOB NOT NULL,
    size INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (customer, key)
);
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (created, size);
CREATE TABLE IF NOT EXISTS customers (customer TEXT PRIMARY KEY, spent INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    customer TEXT NOT NULL,
    key TEXT,
    digest TEXT NOT NULL,
    status TEXT NOT NULL,
    asked BLOB NOT NULL, -- with the tokens, until it has ended
    told BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS jobs_by_key ON jobs (customer, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_by_status ON jobs (status);
PRAGMA user_version = 1;
"""


@dataclass(frozen=True)
class Answer:
    """A prediction, as it was answered.

    Attributes:
        digest: of what was asked.
        headers: of the answer.
        body: mp4 or tar.
    """

    digest: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class JobRow:
    """A job, as it is kept: ``asked`` and ``told`` are JSON of the wire's structs."""

    number: int
    id: str
    customer: str
    status: str
    asked: bytes = field(repr=False)
    told: bytes = field(repr=False)


class Store:
    """The file in a folder. Blocking; any thread may use it.

    Args:
        folder: is made where there is none, for nobody else to look into.
        answer_bytes: of answers that are kept.
        answer_seconds: that they are kept for.

    Raises:
        ConfigError: it cannot be used, or another engine uses it.
    """

    def __init__(self, folder: Path, answer_bytes: int, answer_seconds: float) -> None:
        self._bytes = answer_bytes
        self._seconds = answer_seconds
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._held = (folder / "lock").open("w")
        except OSError as error:
            raise ConfigError(f"{folder} cannot be used: {error.strerror or error}") from None
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._held.close()
            raise ConfigError(f"another engine works in {folder}; give this one another folder (--data)") from None
        path = folder / "engine.db"
        path.touch(mode=0o600)  # jobs have tokens; SQLite gives what it makes beside it the same mode
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA secure_delete = ON")  # of tokens nothing stays
            self._database.executescript(_SCHEMA)
            self._kept: int = self._database.execute("SELECT coalesce(sum(size), 0) FROM answers").fetchone()[0]
        except sqlite3.Error as error:
            self.close()
            raise ConfigError(f"{path}: {error}") from None

    def close(self) -> None:
        """Let go of the file, and of the folder."""
        with self._lock:
            self._database.close()
            self._held.close()

    # -- answers, and what they cost -----------------------------------------------------------------------------------

    def answer(self, customer: str, key: str) -> Answer | None:
        """What was answered to that key, if it is kept still."""
        with self._lock:
            row = self._database.execute(
                "SELECT digest, headers, body FROM answers WHERE customer = ? AND key = ? AND created > ?",
                (customer, key, time.time() - self._seconds),
            ).fetchone()
        return None if row is None else Answer(row[0], msgspec.json.decode(row[1], type=dict[str, str]), row[2])

    def keep(self, customer: str, key: str | None, answer: Answer, micros: int) -> None:
        """A prediction is done: it is paid, and can be answered again.

        Args:
            customer: who pays.
            key: None for an answer that need not be kept; nor is one that is larger than all that may be.
            answer: what it was.
            micros: millionths of a dollar.
        """
        now = time.time()
        with self._transaction():
            self._database.execute(
                "INSERT INTO customers VALUES (?, ?) ON CONFLICT DO UPDATE SET spent = spent + excluded.spent",
                (customer, micros),
            )
            if key is None or len(answer.body) > self._bytes:
                return
            self._forget("created <= ?", (now - self._seconds,))
            self._forget("customer = ? AND key = ?", (customer, key))
            size = len(answer.body)
            while self._kept and self._kept + size > self._bytes:
                self._forget("rowid IN (SELECT rowid FROM answers ORDER BY created LIMIT 1)", ())
            headers = msgspec.json.encode(answer.headers)
            self._database.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
                (customer, key, answer.digest, now, headers, size, answer.body),
            )
            self._kept += size

    def spent(self, customer: str) -> int:
        """Millionths of a dollar, ever."""
        with self._lock:
            row = self._database.execute("SELECT spent FROM customers WHERE customer = ?", (customer,)).fetchone()
        return 0 if row is None else int(row[0])

    def _forget(self, which: str, values: tuple[object, ...]) -> None:
        sizes = self._database.execute(f"DELETE FROM answers WHERE {which} RETURNING size", values).fetchall()  # noqa: S608 (our own text)
        self._kept -= sum(size for (size,) in sizes)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def add_job(self, job_id: str, customer: str, key: str | None, asked: bytes, told: bytes) -> str | None:
        """Note a job.

        Args:
            job_id: a new one.
            customer: whose it is.
            key: its Idempotency-Key; None for none.
            asked: JSON of what was asked.
            told: JSON of a Job.

        Returns:
            The id of the job, an earlier one where the key was used before; None where it was used for another job.
        """
        digest = sha256(asked).hexdigest()
        with self._transaction():
            if key is not None:
                found = self._database.execute(
                    "SELECT id, digest FROM jobs WHERE customer = ? AND key = ?", (customer, key)
                ).fetchone()
                if found is not None:
                    return str(found[0]) if found[1] == digest else None
            self._database.execute(
                "INSERT INTO jobs (id, customer, key, digest, status, asked, told) VALUES (?, ?, ?, ?, 'queued', ?, ?)",
                (job_id, customer, key, digest, asked, told),
            )
        return job_id

    def job(self, job_id: str) -> JobRow | None:
        """A job by its id."""
        found = self._jobs("id = ?", (job_id,), 1)
        return found[0] if found else None

    def jobs(self, customer: str, before: int | None, limit: int) -> list[JobRow]:
        """Jobs of a customer, newest first.

        Args:
            customer: whose.
            before: the number of the job that the page before ended with.
            limit: how many at most.
        """
        return self._jobs("customer = ? AND number < ?", (customer, 2**62 if before is None else before), limit)

    def unfinished(self, customer: str | None = None) -> list[JobRow]:
        """Jobs that have not ended, oldest first."""
        found = self._jobs("status IN ('queued', 'running') AND ? IN (customer, '')", (customer or "",), -1)
        return found[::-1]

    def save_job(self, job_id: str, status: str, told: bytes, asked: bytes | None = None) -> None:
        """What is known of a job now. One that has ended stays as it ended.

        Args:
            job_id: of the job.
            status: of the job.
            told: JSON of a Job.
            asked: JSON of what was asked, where it is to be replaced.
        """
        with self._transaction():
            self._database.execute(
                "UPDATE jobs SET status = ?1, told = ?2, asked = coalesce(?3, asked) "
                "WHERE id = ?4 AND status IN ('queued', 'running', ?1)",
                (status, told, asked, job_id),
            )

    def _jobs(self, which: str, values: tuple[object, ...], limit: int) -> list[JobRow]:
        query = f"SELECT number, id, customer, status, asked, told FROM jobs WHERE {which} ORDER BY number DESC LIMIT ?"  # noqa: S608 (our own text)
        with self._lock:
            return [JobRow(*row) for row in self._database.execute(query, (*values, limit))]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            kept = self._kept
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                self._kept = kept
                self._database.execute("ROLLBACK")
                raise
