"""The databases: their tables are what the schema says, and writers keep apart what they must while readers go on."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, inspect, select, text

import dreamlake as dl
from dreamlake.config import connect, current_lake, lake_at
from dreamlake.errors import ConfigError, MissingExtraError
from dreamlake.server import database as module
from dreamlake.server import engines
from dreamlake.server.database import HEAD, Database, DatabaseDown, hold
from dreamlake.server.schema import metadata, namespaces
from dreamlake.server.settings import Settings
from tests.clips import decode_plain
from tests.postgres import Postgres

from ._lake import Client, opened


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database without tables."""
    yield from empty_database(request, request.param, tmp_path / "lake")


@pytest.fixture
def another_url(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[str]:
    """Of another one, of the same sort."""
    yield from empty_database(request, url.partition(":")[0], tmp_path / "other")


def empty_database(request: pytest.FixtureRequest, sort: str, folder: Path) -> Iterator[str]:
    if sort == "sqlite":
        folder.mkdir()
        yield Settings(folder).database_url
    else:
        server: Postgres = request.getfixturevalue("postgres")
        made = server.database(empty=True)
        yield made
        server.drop(made)


async def version(database: Database) -> str | None:
    async with database.read() as connection:
        found: str | None = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
        return found


async def test_a_new_database_reaches_head(url: str) -> None:
    database = Database(url)
    await database.open()
    assert await version(database) == HEAD
    await database.open()  # nothing is left to do
    await database.close()


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_the_schema_is_what_the_migrations_make(url: str, another_url: str) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    migrated = Database(url)
    await migrated.open()
    async with migrated.read() as connection:
        assert await connection.run_sync(differences) == []
        there = await connection.run_sync(tables)
    await migrated.close()
    made = Database(another_url)
    async with made.write() as connection:
        await connection.run_sync(metadata.create_all)
        expected = await connection.run_sync(tables)
    await made.close()
    del there["alembic_version"]
    assert there == expected  # what compare_metadata overlooks: foreign keys' actions, defaults


def tables(connection: Connection) -> dict[str, list[object]]:
    """Each table's columns, foreign keys and indexes, as the database knows them."""
    inspector = inspect(connection)

    def sorted_by_columns(found: Sequence[Any]) -> list[Any]:
        return sorted(({**one, "name": None, "comment": None} for one in found), key=str)

    def column(found: Any) -> dict[str, object]:
        return {**found, "type": str(found["type"]).replace(' COLLATE "C"', ""), "comment": None}

    return {
        name: [
            [column(found) for found in inspector.get_columns(name)],
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted_by_columns(inspector.get_foreign_keys(name)),
            sorted_by_columns(inspector.get_unique_constraints(name)),
            sorted_by_columns(index for index in inspector.get_indexes(name) if not index.get("duplicates_constraint")),
        ]
        for name in inspector.get_table_names()
    }


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_text_is_ordered_by_code_points(url: str) -> None:
    """Whatever language the database is for: as in SQLite."""
    database = Database(url)
    await database.open()
    async with database.read() as connection:
        query = text(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' "
            "AND table_name != 'alembic_version' AND data_type = 'character varying' "
            "AND collation_name IS DISTINCT FROM 'C'"
        )
        assert (await connection.execute(query)).all() == []
    await database.close()


async def test_processes_that_open_a_new_lake_at_the_same_moment(tmp_path: Path, url: str) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from dreamlake.server.app import LakeApp
from dreamlake.server.settings import Settings
async def main():
    app = LakeApp(Settings(Path(sys.argv[1]), database=sys.argv[2]))
    print("here", flush=True)
    sys.stdin.readline()
    async with app.lifespan():
        print(app.lake.signer.query("GET", "/", "alice", 0), flush=True)
asyncio.run(main())
"""

    def race() -> None:
        command = [sys.executable, "-c", code, str(tmp_path / "lake"), url]
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
    database = Database(url)
    assert await version(database) == HEAD
    await database.close()


async def test_readers_are_not_blocked_by_a_writer(url: str) -> None:
    mine, other = Database(url), Database(url)
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


async def test_a_writer_waits_for_the_one_before_it(url: str) -> None:
    """Read, decide, write: nobody comes between, and nobody is refused."""
    databases = [Database(url) for _ in range(2)]
    await databases[0].open()
    row = {"id": "0" * 24, "slug": "0", "created_at": 0.0}
    async with databases[0].write() as connection:
        await connection.execute(namespaces.insert().values(**row))

    async def add_one(database: Database) -> None:
        async with database.write() as connection:
            await hold(connection, ["counter"])
            value = (await connection.execute(select(namespaces.c.slug))).scalar_one()
            await asyncio.sleep(0)
            await connection.execute(namespaces.update().values(slug=str(int(value) + 1)))

    await asyncio.gather(*(add_one(databases[n % 2]) for n in range(40)))
    async with databases[0].read() as connection:
        assert (await connection.execute(select(namespaces.c.slug))).scalar() == "40"
    for database in databases:
        await database.close()


async def test_what_raises_is_rolled_back(url: str) -> None:
    database = Database(url)
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


# -- locks -----------------------------------------------------------------------------------------------------------


async def test_locks_without_a_transaction(url: str) -> None:
    """Of one server's tasks one at a time has them, in whatever order they are named, and a cancelled one has none."""
    await counts_alone([Database(url)])


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_locks_of_two_servers(url: str) -> None:
    await counts_alone([Database(url), Database(url)])


async def counts_alone(databases: list[Database]) -> None:
    inside: set[str] = set()
    done = 0

    async def enter(number: int) -> None:
        nonlocal done
        names = [*["a", "b", "c"][number % 3 :], "a"]
        async with databases[number % len(databases)].alone(reversed(names)):
            assert not inside & set(names)
            inside.update(names)
            await asyncio.sleep(0.001)
            inside.difference_update(names)
        done += 1

    tasks = [asyncio.create_task(enter(number)) for number in range(30)]
    await asyncio.sleep(0.005)
    for task in tasks[20:]:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        assert task.cancelled() or task.exception() is None
    assert done >= 20
    async with asyncio.timeout(10), databases[-1].alone(["a", "b", "c"]):  # nobody has kept any
        pass
    for database in databases:
        await database.close()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_shared_locks(url: str) -> None:
    """Any number may hold a name at once, and nobody does while one holds it alone."""
    database = Database(url)
    async with database.write() as one, database.write() as two:
        await hold(one, ["a", "b"], alone=False)
        await hold(two, ["b", "a"], alone=False)

        async def alone() -> None:
            async with database.write() as connection:
                await hold(connection, ["a"])

        waiting = asyncio.create_task(alone())
        assert not (await asyncio.wait([waiting], timeout=0.2))[0]
    await asyncio.wait_for(waiting, 10)
    await database.close()


# -- servers that do not answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_connections_that_were_lost(url: str) -> None:
    """Nobody who comes after that notices; what was under way is told so."""
    database = Database(url)
    await database.open()
    end_all = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid != pg_backend_pid() AND datname = current_database()"
    )
    for statement in (text("SELECT 1"), text("SELECT pg_advisory_xact_lock(1)")):
        async with database.write() as first:
            await first.execute(text("SELECT 1"))
            with pytest.raises(DatabaseDown):
                async with database.write() as second:
                    await second.execute(text("SELECT 1"))
                    await first.execute(end_all)
                    await second.execute(statement)
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await database.close()


async def test_a_writer_that_waits_too_long(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told that it may try again, and nothing of what it wanted is there."""
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.1)
    one, two = Database(url), Database(url)
    await one.open()
    async with one.write() as first:
        await hold(first, ["a"])
        with pytest.raises(DatabaseDown, match=r"lock"):
            async with two.write() as second:
                await second.execute(namespaces.insert().values(id="0" * 24, slug="alice", created_at=0.0))
                await hold(second, ["a"])
    async with two.read() as connection:
        assert (await connection.execute(select(namespaces))).all() == []
    await one.close()
    await two.close()


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
async def test_a_request_to_a_lake_whose_database_is_gone(lake_data: Path, database: str, postgres: Postgres) -> None:
    async with opened(lake_data) as client:
        assert (await client.http.get("/videos/0123456789abcdef01234567")).status_code == 404
        await asyncio.to_thread(postgres.drop, database)
        for _ in range(2):
            answer = await client.http.get("/videos/0123456789abcdef01234567")
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert "database" in answer.json()["detail"]
            assert "postgresql" not in answer.text


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
async def test_a_query_that_no_text_can_be(lake_client: Client, database: str | None) -> None:
    """PostgreSQL has no U+0000, and SQLite has."""
    for path, name in (("/videos", "owner"), ("/videos", "cursor"), ("/assets/download", "namespace")):
        query = {"owner": "alice", "project": "robotics", "namespace": "alice", "space": "s", "path": "/a"}
        answer = await lake_client.http.get(path, params={**query, name: "a\0b"})
        assert answer.status_code in ((400,) if database else (200, 404)), (path, name)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("mysql://user:secret@host/db", "not at mysql://host/db"),
        ("lake.db", "without a scheme"),
        ("sqlite://lake.db", "is not the URL of a database in a file"),
        ("sqlite:///:memory:", "is not the URL of a database in a file"),
        ("postgresql://user:secret@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db"),
        ("postgresql://user:se/secret@host/db", "%XX"),
        ("postgresql://user:se?secret@127.0.0.1/db", "%XX"),
        ("postgresql://user:secret@127.0.0.1:port/db", "%XX"),
    ],
)
async def test_databases_that_cannot_be_meant(wrong: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await Database(wrong).open()
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_postgresql_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(MissingExtraError, match=r"dreamlake\[postgres\]"):
        Database("postgresql://localhost/db")


# -- which database a lake has ---------------------------------------------------------------------------------------


def test_which_database_an_embedded_lake_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path))
    connect()
    assert current_lake().database is None
    (tmp_path / "config.toml").write_text('database = "postgresql://u:secret@from-file/db"\n')
    assert current_lake().database == "postgresql://u:secret@from-file/db"
    monkeypatch.setenv("DREAMLAKE_DATABASE", "postgresql://u:secret@from-environment/db?sslmode=require")
    lake = current_lake()
    assert lake.database == lake_at("").database == "postgresql://u:secret@from-environment/db?sslmode=require"
    assert str(lake) == f"the embedded lake in {tmp_path}/lake with postgresql://from-environment/db"
    assert "secret" not in repr(lake) + repr(Settings(tmp_path, database=lake.database))
    try:
        assert connect(data=tmp_path / "other").database is None  # a folder that is named has its own
    finally:
        connect()


def test_an_embedded_lake_in_postgresql(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres: Postgres, made: Callable[[str], Path]
) -> None:
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path))
    monkeypatch.setenv("DREAMLAKE_DATABASE", postgres.database())
    connect()
    try:
        video = dl.upload(made("seed"), path="/camera", progress=False)
        packed = pickle.dumps(video[3])
        assert b"postgresql" not in packed  # passwords do not travel in pickles
        dl.close()
        assert np.array_equal(pickle.loads(packed).numpy(), decode_plain(made("seed"))[3])
        assert not (tmp_path / "lake/lake.db").exists()
    finally:
        dl.close()


@pytest.mark.parametrize("url", ["postgresql://user:secret@127.0.0.1:1/db", "mysql://user:secret@host/db"])
def test_serve_says_in_one_line_that_the_database_does_not_answer(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dreamlake.cli", "serve", "--port", "0", "--data", str(tmp_path / "lake")]
    environment = {**os.environ, "DREAMLAKE_DATABASE": url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert "database" in line
    assert "secret" not in line
