"""Locks that outlast transactions, between the tasks of a server and between the servers of a PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import sha256
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import ARRAY, BigInteger, TextClause, bindparam, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from dreamlake.server.engines import DatabaseDown, reason
from dreamlake.server.taskpool import to_the_end

__all__ = ["Locks", "SessionLocks", "lock_query"]

POLL_SECONDS = 0.02  # between tries to get a lock that another server has


class Locks:
    """Locks between the tasks of this process.

    SQLite knows none that outlast a transaction, so they are all there is on it.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def alone(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Hold the locks of these names while the block runs."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names)):  # in order, or two would wait for each other
                await stack.enter_async_context(self._locks.setdefault(name, asyncio.Lock()))
            yield

    async def close(self) -> None:
        """Give all of them back."""


class SessionLocks(Locks):
    """The same between all servers of a PostgreSQL: its advisory locks.

    One session has those of all tasks, so that a task with a lock does not keep a connection from those that have
    none. When that session ends, such as with the server, the locks are gone.

    Args:
        engine: of the database.

    Raises:
        DatabaseDown: from ``alone``, the database does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__()
        self._engine = engine
        self._session: AsyncConnection | None = None
        self._using = asyncio.Lock()

    @asynccontextmanager
    async def alone(self, names: Iterable[str]) -> AsyncIterator[None]:
        wanted = sorted(set(names))
        held: list[int] = []

        async def take() -> None:
            held.extend(row.key for row in await self._execute("pg_try_advisory_lock", wanted) if row.done)

        async def give_back() -> None:
            if held:
                await self._execute("pg_advisory_unlock", held)
                held.clear()

        async with super().alone(wanted):  # first, because a session gets a lock that it has
            try:
                while wanted:
                    await to_the_end(take)
                    if len(held) == len(wanted):
                        break
                    # All or none: two that have some of each other's would wait for ever.
                    await to_the_end(give_back)
                    await asyncio.sleep(POLL_SECONDS)
                yield
            finally:
                with suppress(DatabaseDown):  # then the session is gone, and its locks with it
                    await to_the_end(give_back)

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.invalidate()  # else it would go back to the pool with its locks
            await session.close()

    async def _execute(self, function: str, keys: Sequence[str] | Sequence[int]) -> Sequence[Any]:
        async with self._using:
            try:
                if self._session is None:
                    self._session = await self._engine.connect()
                    await self._session.execution_options(isolation_level="AUTOCOMMIT")
                return (await self._session.execute(*lock_query(function, keys))).all()
            except (OSError, SQLAlchemyError) as error:
                await self.close()
                raise DatabaseDown(reason(error)) from error


def lock_query(function: str, names: Iterable[str | int]) -> tuple[TextClause, dict[str, Any]]:
    """The statement that calls a function of PostgreSQL for the locks of these names, in order, and its parameters."""
    keys = sorted({name if isinstance(name, int) else _key(name) for name in names})
    # Rows come as they lie in the array: it is scanned, and nothing joins or sorts it.
    query = text(f"SELECT key, {function}(key) AS done FROM unnest(:keys) AS key")  # noqa: S608 (a name from this package)
    return query.bindparams(bindparam("keys", type_=ARRAY(BigInteger))), {"keys": keys}


def _key(name: str) -> int:
    """An advisory lock's number. Other programs may have some in the same database, and two names one number."""
    return int.from_bytes(sha256(f"dreamlake:{name}".encode()).digest()[:8], signed=True)
