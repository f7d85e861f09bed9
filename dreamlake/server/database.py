"""The database of a lake: its transactions and its migrations, on SQLite and on PostgreSQL.

SQLite serves several processes at once in WAL mode. Its transactions that write queue, and each is alone from its first
moment. PostgreSQL's go on side by side (READ COMMITTED), those of other servers too. What must not come between is kept
out by constraints and by locked rows, or where these do not do, by ``hold``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.targets import shown_database
from dreamlake.errors import ConfigError, UsageError
from dreamlake.server.engines import READS, DatabaseDown, create_engine, here, reason
from dreamlake.server.locks import Locks, SessionLocks, lock_query

__all__ = ["HEAD", "Database", "DatabaseDown", "hold", "insert"]

HEAD = "0006"  # the newest migration
# At once, by whether it is PostgreSQL: as many connections as the pool keeps, which has some for those who write too.
# More would be opened and closed for every request.
READERS = {False: 5, True: 15}

NUL = "22021"  # SQLSTATE
# What passes, by the class: no connection, a deadlock, no resources, a lock that was not to be had, a server that ends.
_PASSING = ("08", "40", "53", "55", "57")


class Database:
    """One database; ``open`` brings its tables up to date.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user:password@host/database``.

    Raises:
        ConfigError: a URL that cannot be meant.
        MissingExtraError: PostgreSQL without the extra ``postgres``.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)
        self._shown = shown_database(url)
        self._reads = READS[_is_postgresql(self._engine)]
        self._locks = SessionLocks(self._engine) if _is_postgresql(self._engine) else Locks()
        self._readers = asyncio.Semaphore(READERS[_is_postgresql(self._engine)])

    async def open(self) -> None:
        """Apply the migrations that the database lacks; several processes may do so at once.

        Raises:
            ConfigError: the database does not answer, or does not let us in.
        """
        try:
            async with self.read() as connection:
                current = await connection.run_sync(_current_version)
            if current != HEAD:
                async with self.write() as connection:
                    await hold(connection, ["migrations"])
                    await connection.run_sync(_upgrade)
        except DatabaseDown as error:
            await self.close()
            raise ConfigError(f"the database {self._shown} cannot be used: {error}") from error

    @asynccontextmanager
    async def read(self, *, quick: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads: it sees one state of the database, and never waits for writers.

        Args:
            quick: it looks up a few rows that an index finds; SQLite does that at once.

        Raises:
            DatabaseDown: the database does not answer, or cannot now.
        """
        async with self._readers, self._connected() as connection:
            await connection.execution_options(**self._reads)
            if quick:
                await here(connection)
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits when the block ends and rolls back when it raises.

        Raises:
            DatabaseDown: the database does not answer, or cannot now; nothing was changed, unless the connection was
                lost while it committed.
        """
        async with self._connected() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def alone(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Hold locks while the block runs, however long that takes, and without a transaction.

        They hold between all servers of a PostgreSQL, and on SQLite between the tasks of this process.
        """
        async with self._locks.alone(names):
            yield

    async def close(self) -> None:
        """Close all connections."""
        await self._locks.close()
        await self._engine.dispose()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._engine.connect())
            except (OSError, NoConnectionError, DBAPIError) as error:
                raise DatabaseDown(reason(error)) from error
            try:
                yield connection
            except DBAPIError as error:
                state = getattr(error.orig, "sqlstate", None) or ""
                busy = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
                if state == NUL:
                    raise UsageError("a text holds U+0000, which no name has") from error
                if busy or error.connection_invalidated or state[:2] in _PASSING:
                    raise DatabaseDown(reason(error)) from error
                raise


async def hold(connection: AsyncConnection, names: Iterable[str], *, alone: bool = True) -> None:
    """Keep apart the transactions that hold a name, from here to their ends.

    What is read after this is what the one before has left. On SQLite a transaction that writes is alone anyway.

    Args:
        connection: in a transaction that writes.
        names: of what is held; a transaction that calls this twice must do so in the order of all others.
        alone: whether nobody else may hold them, or everybody else who does not want them alone.
    """
    if _is_postgresql(connection):
        function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        await connection.execute(*lock_query(function, names))


def insert(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``.

    Args:
        connection: that it is for.
        table: to insert into.
    """
    return postgresql.insert(table) if _is_postgresql(connection) else sqlite.insert(table)


def _is_postgresql(connection: Any) -> bool:
    return bool(connection.dialect.name == "postgresql")


def _current_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None  # a new database
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    # Alembic takes as long to import as the rest of the lake; most starts find the tables up to date.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
