"""An empty lake, opened in this process."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from ._lake import Client, opened
from ._stores import Store, Stores, make_store


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
def lake_data(empty_lake: Path, tmp_path: Path) -> Path:
    """The folder of an empty lake that is not open."""
    return Path(shutil.copytree(empty_lake, tmp_path / "lake"))


@pytest.fixture
async def lake_client(lake_data: Path) -> AsyncIterator[Client]:
    """A client of an empty lake."""
    async with opened(lake_data) as client:
        yield client
