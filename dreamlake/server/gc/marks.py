"""What is in use, in a file instead of in memory: a lake may have any number of chunks."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from anyio import to_thread

__all__ = ["FOLDER", "Marks", "open_marks"]

FOLDER = "gc-"  # what the name of its folder in the scratch begins with


class Marks:
    """Keys of objects that are in use, and the projects there are; used by one task at a time or several."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection

    async def keep(self, keys: Iterable[str]) -> None:
        """These objects are in use."""
        await self._write("INSERT OR IGNORE INTO kept VALUES (?)", [(key,) for key in keys])

    async def unkept(self, keys: Sequence[str]) -> set[str]:
        """Those of a few objects that are not in use."""
        query = f"SELECT key FROM kept WHERE key IN ({','.join('?' * len(keys))})"  # noqa: S608 (question marks alone)
        found = await to_thread.run_sync(lambda: self._connection.execute(query, keys).fetchall())
        return {*keys} - {key for (key,) in found}

    async def add_projects(self, projects: Iterable[tuple[str, str]]) -> None:
        """There are these projects, by owner and name."""
        await self._write("INSERT OR IGNORE INTO projects VALUES (?, ?)", list(projects))

    async def projects(self) -> AsyncIterator[tuple[str, str]]:
        """All projects, by owner and name."""
        query = "SELECT owner, project FROM projects WHERE (owner, project) > (?, ?) ORDER BY owner, project LIMIT 100"
        last: tuple[str, str] = ("", "")
        while page := await self._page(query, last):
            for last in page:
                yield last

    async def _page(self, query: str, last: tuple[str, str]) -> list[tuple[str, str]]:
        return await to_thread.run_sync(lambda: self._connection.execute(query, last).fetchall())

    async def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        await to_thread.run_sync(lambda: self._connection.executemany(statement, rows))


@asynccontextmanager
async def open_marks(scratch: Path) -> AsyncIterator[Marks]:
    """An empty one, which lives as long as the block."""
    with tempfile.TemporaryDirectory(prefix=FOLDER, dir=scratch) as folder:
        # Threads take turns at it (SQLite is built serialized), and nothing in it outlives the run.
        connection = sqlite3.connect(Path(folder) / "marks.db", isolation_level=None, check_same_thread=False)
        with closing(connection):
            connection.executescript(
                """
                PRAGMA journal_mode = OFF;
                PRAGMA synchronous = OFF;
                CREATE TABLE kept (key TEXT PRIMARY KEY) WITHOUT ROWID;
                CREATE TABLE projects (owner TEXT, project TEXT, PRIMARY KEY (owner, project)) WITHOUT ROWID;
                """
            )
            yield Marks(Path(folder), connection)
