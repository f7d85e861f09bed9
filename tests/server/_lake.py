"""A lake for a test: the real application in this process, spoken to over HTTP."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import Table, select

from dreamlake.core.kinds import VIDEO, Kind
from dreamlake.server.app import LakeApp
from dreamlake.server.lake import Lake
from dreamlake.server.settings import Settings

ROUTES = ("videos", "audio", "images", "image", "labels", "text-tracks")
# For tests of what has nothing to do with the database, in modules that are run on both.
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
DATABASES: dict[Path, str] = {}  # the URLs of those that are not in the folders of their lakes
WAIT = 60.0  # bounds what happens soon; nothing waits this long unless it is broken


async def until(check: Callable[[], Awaitable[Any]], what: str, seconds: float = WAIT) -> Any:
    """Ask again until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := await check()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.02)
    return answer


@dataclass
class Upload:
    """A multipart upload that was begun."""

    http: httpx.AsyncClient
    route: str
    id: str
    key: str

    @property
    def target(self) -> dict[str, str]:
        return {"uploadId": self.id, "key": self.key}

    async def call(self, name: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/{self.route}/upload/multipart/{name}", json={**self.target, **body})

    async def url(self, number: int, **body: Any) -> str:
        answer = await self.call("parts", partNumbers=[number], **body)
        url: str = answer.raise_for_status().json()["parts"][str(number)]
        return url

    async def put(self, number: int, data: bytes) -> dict[str, Any]:
        """Send a part; returns its entry in the list that completes the upload."""
        answer = await self.http.put(await self.url(number), content=data)
        return {"partNumber": number, "etag": answer.raise_for_status().headers["etag"]}

    async def done(self) -> dict[str, Any]:
        answer = await self.http.get(f"/{self.route}/upload/multipart/parts-done", params=self.target)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


@dataclass
class Http:
    """What clients of a lake ask for."""

    http: httpx.AsyncClient

    async def begin(
        self, data: bytes, route: str = "videos", owner: str = "alice", project: str = "robotics", **more: Any
    ) -> Upload:
        body = {"owner": owner, "project": project, "hash": sha256(data).hexdigest()[:16], **more}
        begun = (await self.http.post(f"/{route}/upload/multipart/init", json=body)).raise_for_status().json()
        return Upload(self.http, route, begun["uploadId"], begun["key"])

    async def stage(self, data: bytes, route: str = "videos", owner: str = "alice", project: str = "robotics") -> str:
        """Upload bytes in one part; returns the hash they are staged under."""
        upload = await self.begin(data, route, owner, project)
        (await upload.call("complete", parts=[await upload.put(1, data)])).raise_for_status()
        return upload.key.rsplit("/", 1)[-1]

    async def register(self, name: str, digest: str, kind: Kind = VIDEO, **more: Any) -> httpx.Response:
        body = {"name": name, "owner": "alice", "project": "robotics", "stagingHash": digest, **more}
        return await self.http.post(f"/{kind.route}", json=body)

    async def add(self, name: str, data: bytes, kind: Kind = VIDEO) -> str:
        """Stage and register an asset; returns its id."""
        digest = await self.stage(data, kind.route)
        asset: str = (await self.register(name, digest, kind)).raise_for_status().json()["id"]
        return asset

    async def trigger(self, asset: str, kind: Kind = VIDEO) -> httpx.Response:
        return await self.http.post(f"/lambdas/{kind.action}", json={kind.id_field: asset})

    async def meta(self, asset: str, kind: Kind = VIDEO) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get(f"/{kind.route}/{asset}")).raise_for_status().json()
        return found

    async def finished(self, asset: str, kind: Kind = VIDEO) -> dict[str, Any]:
        """The metadata once the processing has ended, well or not."""

        async def check() -> dict[str, Any] | None:
            meta = await self.meta(asset, kind)
            return meta if meta["status"] in ("ready", "failed") else None

        found: dict[str, Any] = await until(check, f"{asset} to be processed")
        return found

    async def processed(self, name: str, data: bytes, kind: Kind = VIDEO) -> dict[str, Any]:
        """The metadata of a new asset once its processing has ended, well or not."""
        asset = await self.add(name, data, kind)
        if kind.action is not None:
            (await self.trigger(asset, kind)).raise_for_status()
        return await self.finished(asset, kind)

    async def ready(self, name: str, data: bytes, kind: Kind = VIDEO) -> dict[str, Any]:
        """A processed asset's metadata."""
        meta = await self.processed(name, data, kind)
        assert meta["status"] == "ready", meta
        return meta


@dataclass
class Client(Http):
    """An HTTP client of an open lake, and a look behind it."""

    app: LakeApp
    data: Path

    @property
    def lake(self) -> Lake:
        return self.app.lake

    async def rows(self, table: Table) -> list[Any]:
        async with self.lake.database.read() as connection:
            return list((await connection.execute(select(table))).all())


def lake_settings(data: Path, **more: Any) -> Settings:
    """The settings of the lake in a folder."""
    return Settings(data, **{"database": DATABASES.get(data), **more})


@asynccontextmanager
async def opened(data: Path, **settings: Any) -> AsyncIterator[Client]:
    """The lake in a folder, while the block runs."""
    app = LakeApp(lake_settings(data, **settings))
    # Only the lake itself is in this process: a store is reached as from anywhere.
    routes = {"transport": httpx.ASGITransport(app), "mounts": {"all://127.0.0.1": httpx.AsyncHTTPTransport()}}
    async with app.lifespan(), httpx.AsyncClient(base_url="http://lake.test", **routes) as http:
        yield Client(http, app, data)


@asynccontextmanager
async def over_tcp(app: LakeApp) -> AsyncIterator[tuple[str, int]]:
    """An application that is open already, on a port of this machine; host and port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
    running = asyncio.create_task(server.serve(sockets=[listener]))

    async def started() -> bool:
        return server.started

    await until(started, "the server to listen")
    try:
        yield listener.getsockname()[:2]
    finally:
        server.should_exit = True
        await running
