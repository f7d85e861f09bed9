"""Connections to SQLite and to PostgreSQL, which do the same when they are asked for the same."""

from __future__ import annotations

import sqlite3
from typing import Any

import aiosqlite
from sqlalchemy import URL, Connection, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from dreamlake.core.targets import shown_database
from dreamlake.errors import ConfigError, MissingExtraError

__all__ = ["READS", "DatabaseDown", "create_engine", "here", "reason"]

BUSY_SECONDS = 60.0  # that a lock, or a connection, is waited for
CONNECT_SECONDS = 10.0
CONNECTIONS = 20  # to PostgreSQL, of each server; it takes 100 in all, unless it is told otherwise

# Options of a connection for a transaction that only reads, by whether it is PostgreSQL's: one snapshot, as in SQLite.
READS: dict[bool, dict[str, Any]] = {
    False: {"dreamlake_reads": True},
    True: {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


class DatabaseDown(Exception):
    """The database does not answer, or cannot now."""


def create_engine(url: str) -> AsyncEngine:
    """An engine over a database; it connects when it is used.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user:password@host/database``, with the parameters of libpq.

    Raises:
        ConfigError: a URL that cannot be meant.
        MissingExtraError: PostgreSQL without the extra ``postgres``.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        return _sqlite(url)
    if scheme in ("postgresql", "postgres"):
        return _postgresql(url)
    raise ConfigError(
        "a lake's database is at sqlite:///path or postgresql://user:password@host/database, "
        f"not at {shown_database(url)}"
    )


def _sqlite(url: str) -> AsyncEngine:
    path = url.removeprefix("sqlite:///")
    if path == url or not path or path.startswith((":", "file:")):
        raise ConfigError(f"{url} is not the URL of a database in a file, such as sqlite:////data/lake.db")

    async def connect() -> _Connection:
        connection = _Connection(lambda: sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False), 64)
        connection._thread.daemon = True  # as SQLAlchemy has it: whoever does not close a lake shall end all the same
        return await connection  # type: ignore[return-value]  # (itself)

    # The URL says where it is; a path may hold what means something in one, so it is not read from there.
    made = URL.create("sqlite+aiosqlite", database=path)
    engine = create_async_engine(made, async_creator=connect, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, and not by the driver
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # Who writes takes the write lock at once, so that one that has read cannot be refused when it comes to write.
        reads = connection.get_execution_options().get("dreamlake_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    @event.listens_for(engine.sync_engine, "checkin")
    def _again_in_its_thread(connection: Any, _: Any) -> None:
        if connection is not None:
            connection.driver_connection.here = False

    return engine


class _Connection(aiosqlite.Connection):
    """A connection whose statements are executed in a thread of its own, or where they are asked for.

    Attributes:
        here: whether they are executed in the event loop's thread.
    """

    here = False

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if self.here and self._connection is not None:
            return fn(*args, **kwargs)
        return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]  # (it has no types)


async def here(connection: AsyncConnection) -> None:
    """Have SQLite's statements executed in the event loop's thread until the connection is given back.

    To find a row by its key takes less time than to hand that to a thread and wait for it, and with two threads that
    want the interpreter in turn, on two cores, much less.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    if isinstance(driver, _Connection):
        driver.here = True


def _postgresql(url: str) -> AsyncEngine:
    try:
        import asyncpg
    except ModuleNotFoundError as error:
        raise MissingExtraError("postgres", f"a lake in PostgreSQL ({error.name})") from error

    async def connect() -> Any:
        # The driver reads the URL itself, and knows all that libpq lets it say.
        settings = {"application_name": "dreamlake", "lock_timeout": f"{BUSY_SECONDS * 1000:.0f}ms"}
        try:
            return await asyncpg.connect(url, timeout=CONNECT_SECONDS, server_settings=settings)
        except (asyncpg.ClientConfigurationError, ValueError):
            # What the driver says of it may quote the password.
            raise ConfigError(
                f"{shown_database(url)} cannot be read as postgresql://user:password@host:port/database: "
                "write what is neither letter nor digit in a password as %XX"
            ) from None

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        isolation_level="READ COMMITTED",  # whatever the server's default is
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def _check(connection: Any, *_: Any) -> None:
        # The server may have been restarted since; the driver has seen that, and need not ask.
        if connection.driver_connection.is_closed():
            raise DisconnectionError("the server has closed it")

    return engine


def reason(error: BaseException) -> str:
    """What happened, in one line, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return str(getattr(cause, "__cause__", None) or cause).partition("\n")[0] or type(error).__name__
