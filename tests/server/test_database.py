"""The database: its tables are what the schema says, and its writers queue while its readers go on."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select, text

from dreamlake.server import database as module
from dreamlake.server.database import HEAD, Database
from dreamlake.server.schema import metadata, namespaces
from dreamlake.server.settings import Settings


def url(folder: Path) -> str:
    return Settings(folder).database_url


async def version(database: Database) -> str | None:
    async with database.read() as connection:
        found: str | None = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
        return found


async def test_a_new_database_reaches_head(tmp_path: Path) -> None:
    database = Database(url(tmp_path))
    await database.open()
    assert await version(database) == HEAD
    await database.open()  # nothing is left to do
    await database.close()


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_the_schema_is_what_the_migrations_make(tmp_path: Path) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    database = Database(url(tmp_path))
    await database.open()
    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()

    migrated = tables(tmp_path / "lake.db")
    made = tmp_path / "made"
    made.mkdir()
    database = Database(url(made))
    async with database.write() as connection:
        await connection.run_sync(metadata.create_all)
    await database.close()
    del migrated["alembic_version"]
    assert tables(made / "lake.db") == migrated  # what compare_metadata overlooks: foreign keys' actions, defaults


def tables(path: Path) -> dict[str, list[object]]:
    """Each table's columns, foreign keys and indexes, as SQLite knows them."""
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found: dict[str, list[object]] = {}
    for name in names:
        indexes = {
            tuple(row[2] for row in connection.execute(f"PRAGMA index_info({index[1]!r})")): index[2]
            for index in connection.execute(f"PRAGMA index_list({name})")
        }
        found[name] = [
            connection.execute(f"PRAGMA table_info({name})").fetchall(),
            sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")),
            indexes,
        ]
    connection.close()
    return found


async def test_processes_that_open_a_new_lake_at_the_same_moment(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from dreamlake.server.app import create_app
from dreamlake.server.settings import Settings
async def main():
    app = create_app(Settings(Path(sys.argv[1])))
    print("here", flush=True)
    sys.stdin.readline()
    async with app.lifespan():
        print(app.state.lake.signer.query("GET", "/", "alice", 0), flush=True)
asyncio.run(main())
"""

    def race() -> None:
        command = [sys.executable, "-c", code, str(tmp_path / "lake")]
        racers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "here\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        answers = [racer.communicate() for racer in racers]
        assert [racer.returncode for racer in racers] == [0] * 4, answers
        assert len({secret for secret, _ in answers}) == 1  # and all of them sign with one key

    await asyncio.to_thread(race)
    database = Database(url(tmp_path / "lake"))
    assert await version(database) == HEAD
    await database.close()


async def test_readers_are_not_blocked_by_a_writer(tmp_path: Path) -> None:
    mine, other = Database(url(tmp_path)), Database(url(tmp_path))
    await mine.open()
    row = {"id": "0" * 24, "slug": "alice", "created_at": 0.0}
    count = select(func.count()).select_from(namespaces)
    async with mine.write() as writing:
        await writing.execute(namespaces.insert().values(**row))
        for database in (mine, other):
            async with database.read() as reading:
                assert (await reading.execute(count)).scalar() == 0  # not committed, and not waited for
    async with other.read() as reading:
        assert (await reading.execute(count)).scalar() == 1
    await mine.close()
    await other.close()


async def test_a_writer_waits_for_the_one_before_it(tmp_path: Path) -> None:
    """Read, decide, write: nobody comes between, and nobody is refused."""
    databases = [Database(url(tmp_path)) for _ in range(2)]
    await databases[0].open()
    row = {"id": "0" * 24, "slug": "0", "created_at": 0.0}
    async with databases[0].write() as connection:
        await connection.execute(namespaces.insert().values(**row))

    async def add_one(database: Database) -> None:
        async with database.write() as connection:
            value = (await connection.execute(select(namespaces.c.slug))).scalar_one()
            await asyncio.sleep(0)
            await connection.execute(namespaces.update().values(slug=str(int(value) + 1)))

    await asyncio.gather(*(add_one(databases[n % 2]) for n in range(40)))
    async with databases[0].read() as connection:
        assert (await connection.execute(select(namespaces.c.slug))).scalar() == "40"
    for database in databases:
        await database.close()


async def test_what_raises_is_rolled_back(tmp_path: Path) -> None:
    database = Database(url(tmp_path))
    await database.open()

    class Stop(Exception):
        pass

    try:
        async with database.write() as connection:
            await connection.execute(namespaces.insert().values(id="0" * 24, slug="alice", created_at=0.0))
            raise Stop
    except Stop:
        pass
    async with database.read() as connection:
        assert (await connection.execute(select(namespaces))).all() == []
    await database.close()
