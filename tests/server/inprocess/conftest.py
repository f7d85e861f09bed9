"""An application in this process, and clients of it."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from dreamlake.server import inprocess
from dreamlake.server.embedded import close_lakes
from dreamlake.server.inprocess import InProcessApp

from ._app import Lake, async_client, sync_client


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def alone() -> None:
    """No other lake of this process runs: its thread would have the same name."""
    close_lakes()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprocess, "GRACE_SECONDS", 0.02)


@pytest.fixture
def lake() -> Lake:
    return Lake()


@pytest.fixture
def server(lake: Lake) -> Iterator[InProcessApp]:
    with InProcessApp(lambda: lake) as server:
        yield server


@pytest.fixture
def client(server: InProcessApp) -> Iterator[httpx.Client]:
    with sync_client(server) as client:
        yield client


@pytest.fixture
async def aclient(server: InProcessApp) -> AsyncIterator[httpx.AsyncClient]:
    async with async_client(server) as client:
        yield client
