"""Making a lake old, and seeing that what it has acknowledged is there."""

from __future__ import annotations

import base64
import os
import secrets
import time
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import update

from dreamlake.core.kinds import VIDEO, Kind
from dreamlake.core.playlist import parse_playlist
from dreamlake.core.wireupkeep import Freed, GcReport
from dreamlake.server.schema import bss_assets, jobs, staged, uploads
from dreamlake.server.storage import Storage

from ._lake import Client, Upload

DAYS = 2 * 24 * 3600.0  # seconds that everything is made older by
NAMES = ("uploads", "staged", "chunks", "leftovers", "temporary")


async def grow_old(client: Client) -> None:
    """Make all that a lake in a folder holds two days old."""
    for folder in ("objects", "uploads", "scratch"):
        for path, _, names in os.walk(client.data / folder):
            for each in (Path(path), *(Path(path) / name for name in names)):
                os.utime(each, (time.time() - DAYS,) * 2, follow_symlinks=False)
    async with client.lake.database.write() as connection:
        for table in (staged, uploads):
            old = {"used_at": table.c.used_at - DAYS, "created_at": table.c.created_at - DAYS}
            await connection.execute(update(table).values(old))


async def objects(storage: Storage) -> dict[str, int]:
    return {found.key: found.size async for found in storage.list_objects("")}


async def everything(client: Client) -> Any:
    """All that there is: files, their ages, and rows."""
    paths = [path for path in client.data.rglob("*") if not path.name.startswith("lake.db")]
    files = {path: path.is_dir() or path.lstat().st_mtime for path in paths}
    return files, [await client.rows(table) for table in (staged, uploads, bss_assets, jobs)]


async def read_back(client: Client, asset: str, data: bytes, kind: Kind = VIDEO) -> None:
    """An asset that was acknowledged is there: the bytes that came, and every segment that its playlist names."""
    raw = await client.http.get(f"/{kind.route}/{asset}/raw", follow_redirects=False)
    storage = client.lake.storage
    [row] = [row for row in await client.rows(bss_assets) if row.id == asset]
    assert raw.status_code in (200, 302, 307), (asset, raw.text)
    assert await storage.read(f"{row.owner}/{row.project}/staging/{row.hash}") == data
    for stream in (await client.meta(asset, kind)).get("streams", []):
        answer = await client.http.get(f"/{kind.route}/{asset}/stream/{stream}.m3u8")
        playlist = parse_playlist(answer.raise_for_status().text)
        for url in [*playlist.uris, *([playlist.init] if playlist.init else [])]:
            key = urlsplit(url).path.lstrip("/")
            name = key.removeprefix("chunks/").split(".")[0]
            assert sha256(await storage.read(key)).hexdigest().startswith(name), key


async def forget(client: Client, asset: str, kind: Kind = VIDEO) -> None:
    (await client.http.delete(f"/{kind.route}/{asset}")).raise_for_status()


def random_bytes() -> bytes:
    return secrets.token_bytes(1000)


async def begin_announced(client: Client, data: bytes) -> tuple[Upload, dict[str, Any]]:
    """Begin an upload of one part that goes straight to its place in the pool; and what tells of its part."""
    checksums = {"1": base64.b64encode(sha256(data).digest()).decode()}
    more = {"size": len(data), "partSize": len(data)}
    upload = await client.begin(data, sha256=sha256(data).hexdigest(), checksums=checksums, **more)
    return upload, {"checksums": checksums}


async def send(client: Client, upload: Upload, data: bytes) -> list[dict[str, Any]]:
    """Send the one part of an upload through the lake, wherever its bytes are; the list that completes it."""
    [row] = [row for row in await client.rows(uploads) if row.id == upload.id]

    async def body() -> Any:
        yield data

    etag = await client.lake.storage.write_part(row.storage_id, row.target, 1, body(), sha256(data).digest())
    return [{"partNumber": 1, "etag": etag}]


def counts(report: GcReport) -> dict[str, int]:
    """How many of each went; those of which there were none are left out."""
    return {name: freed.count for name in NAMES if (freed := getattr(report, name)).count}


def nothing(report: GcReport) -> bool:
    return all(getattr(report, name) == Freed() for name in NAMES) and report.problems == []


def told(answer: Any) -> GcReport:
    return msgspec.json.decode(answer.raise_for_status().content, type=GcReport)
