"""The database of a lake: an engine whose writers queue instead of colliding, and its migrations.

SQLite serves several processes at once in WAL mode. Writing transactions take the write lock when they begin, so that
one that has read cannot be refused when it comes to write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

__all__ = ["HEAD", "Database"]

HEAD = "0004"  # the newest migration
BUSY_SECONDS = 60.0
READERS = 5  # at once: as many connections as the pool keeps; more would be opened and closed for every request


class Database:
    """One database; ``open`` brings its tables up to date.

    Args:
        url: of SQLAlchemy.
    """

    def __init__(self, url: str) -> None:
        self._engine = _create_engine(url)
        self._readers = asyncio.Semaphore(READERS)

    async def open(self) -> None:
        """Apply the migrations that the database lacks; several processes may do so at once."""
        async with self.read() as connection:
            current = await connection.run_sync(_current_version)
        if current != HEAD:
            async with self.write() as connection:
                await connection.run_sync(_upgrade)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, and never waits for writers."""
        async with self._readers, self._engine.connect() as connection:
            await connection.execution_options(dreamlake_reads=True)
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends and rolls back when it raises."""
        async with self._engine.begin() as connection:
            yield connection

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _create_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, and not by the driver
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("dreamlake_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _current_version(connection: Connection) -> str | None:
    try:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except OperationalError:
        return None  # a new database


def _upgrade(connection: Connection) -> None:
    # Alembic takes as long to import as the rest of the lake; most starts find the tables up to date.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
