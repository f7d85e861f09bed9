"""An empty lake, opened in this process: on SQLite, and where the database matters on PostgreSQL too."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from tests.postgres import Postgres

from ._lake import DATABASES, Client, opened
from ._stores import Store, Stores, make_store

ON_BOTH_DATABASES = {
    "test_assets",
    "test_catalog",
    "test_catalog_nodes",
    "test_gc",
    "test_jobs",
    "test_keys",
    "test_orphans",
    "test_registration",
    "test_tracks",
    "test_uploads",
    "test_vectors",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of what a database decides on both."""
    said = any("database" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    module = metafunc.module.__name__.rpartition(".")[2]
    if "database" in metafunc.fixturenames and module in ON_BOTH_DATABASES and not said:
        metafunc.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL, started when its first database is wanted."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of the database of the test's lake; None for the one in its folder."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield None
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.database()
    yield url
    server.drop(url)


@pytest.fixture(scope="session")
def empty_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake's folder with its tables, to be copied and not to be used."""
    data = tmp_path_factory.mktemp("empty") / "lake"

    async def make() -> None:
        async with opened(data):
            pass

    anyio.run(make)
    return data


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Real S3 servers, started when they are needed."""
    running = Stores(tmp_path_factory.mktemp("stores"))
    yield running
    running.close()


@pytest.fixture(params=["local", "rclone", "juicefs"])
def store(
    request: pytest.FixtureRequest, stores: Stores, unused_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """A place of the test's own in each of the storages."""
    return make_store(request.param, stores, unused_port, tmp_path, monkeypatch)


@pytest.fixture
def lake_data(empty_lake: Path, tmp_path: Path, database: str | None) -> Iterator[Path]:
    """The folder of an empty lake that is not open."""
    data = Path(shutil.copytree(empty_lake, tmp_path / "lake"))
    if database is not None:
        (data / "lake.db").unlink()  # nobody looks at it
        DATABASES[data] = database
    yield data
    DATABASES.pop(data, None)


@pytest.fixture
async def lake_client(lake_data: Path) -> AsyncIterator[Client]:
    """A client of an empty lake."""
    async with opened(lake_data) as client:
        yield client
