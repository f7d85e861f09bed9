"""The staging pool: which bytes are staged under which name, and which names are promised to uploads under way.

A file is named by the first 16 hex digits of its SHA-256 (seed 4). That is a name and no identity: where it is taken by
other bytes, or about to be deleted, the file goes by all 64 digits. A name is promised when an upload begins, so that
no two uploads ever write different bytes to one key.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.server.database import Database
from dreamlake.server.errors import Refused
from dreamlake.server.schema import staged, uploads
from dreamlake.server.sidecar import staging_key

__all__ = [
    "PoolKey", "UploadRow", "Verified", "commit", "find_staged", "find_upload", "forget", "keep", "remember", "reserve",
    "use",
]  # fmt: skip

REMEMBER_SECONDS = 600.0  # how old the note of an upload's last use may be

_KEY = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})/([A-Za-z0-9][A-Za-z0-9._-]{0,99})/staging/([0-9a-f]{16}(?:[0-9a-f]{48})?)"
)


@dataclass(frozen=True)
class PoolKey:
    """A place in the pool: ``{owner}/{project}/staging/{hash}``."""

    owner: str
    project: str
    hash: str

    @classmethod
    def parse(cls, key: str) -> PoolKey:
        """Read a key as ``init`` gave it."""
        match = _KEY.fullmatch(key)
        if match is None:
            raise Refused(400, "key is {owner}/{project}/staging/{hash}, as init gave it")
        return cls(*match.groups())

    def __str__(self) -> str:
        return staging_key(self.owner, self.project, self.hash)

    def rows(self, table: Table) -> list[ColumnElement[bool]]:
        """What selects its rows."""
        return [table.c.owner == self.owner, table.c.project == self.project, table.c.hash == self.hash]


@dataclass(frozen=True)
class UploadRow:
    """An upload under way: see `schema.uploads`."""

    id: str
    key: PoolKey
    target: str
    storage_id: str
    sha256: str | None
    used_at: float


@dataclass(frozen=True)
class Verified:
    """Bytes that were read, or compared part by part, and are what they were announced to be; the size in bytes."""

    sha256: str
    size: int


async def find_staged(database: Database, key: PoolKey) -> Verified | None:
    """What is staged at a key."""
    async with database.read() as connection:
        query = select(staged.c.sha256, staged.c.size).where(*key.rows(staged), ~staged.c.collecting)
        row = (await connection.execute(query)).first()
    return None if row is None else Verified(row.sha256, row.size)


async def use(connection: AsyncConnection, key: PoolKey, sha256: str | None = None) -> bool:
    """Say that somebody counts on what is staged at a key, which keeps it from being collected.

    Args:
        connection: in a transaction that writes.
        key: of the file.
        sha256: of the bytes that are meant, 64 hex digits; None for whatever is there.

    Returns:
        False if it is late: the file is not there any more, or about to be deleted.
    """
    query = update(staged).where(*key.rows(staged), ~staged.c.collecting).values(used_at=time.time())
    if sha256 is not None:
        query = query.where(staged.c.sha256 == sha256)
    return bool((await connection.execute(query)).rowcount)


async def reserve(
    connection: AsyncConnection, owner: str, project: str, name: str, digest: str | None
) -> tuple[PoolKey, bool]:
    """The key for bytes with this SHA-256, and whether they are staged there already.

    Args:
        connection: in a transaction that writes if the name is to be promised, so that nobody else promises it.
        owner: the namespace, and
        project: the space whose pool it is.
        name: the first 16 hex digits of the SHA-256.
        digest: all 64; None when they were not announced, and then nothing is promised.
    """
    if digest is None:
        return PoolKey(owner, project, name), False
    for taken in (name, digest):
        key = PoolKey(owner, project, taken)
        row = (await connection.execute(select(staged).where(*key.rows(staged)))).first()
        if row is not None and (row.collecting or row.sha256 != digest):
            continue
        promised = select(uploads.c.id).where(*key.rows(uploads), uploads.c.sha256 != digest).limit(1)
        if row is not None or (await connection.execute(promised)).first() is None:
            return key, row is not None
    raise Refused(503, f"{digest} is being deleted; try again", {"Retry-After": "1"})


async def find_upload(database: Database, upload_id: str, key: PoolKey) -> UploadRow | None:
    """An upload under way."""
    async with database.read() as connection:
        query = select(uploads).where(uploads.c.id == upload_id, *key.rows(uploads))
        row = (await connection.execute(query)).first()
    return None if row is None else UploadRow(row.id, key, row.target, row.storage_id, row.sha256, row.used_at)


async def keep(database: Database, row: UploadRow) -> bool:
    """Say that somebody goes on with an upload, which keeps it from being collected; False if it is late."""
    if time.time() - row.used_at < REMEMBER_SECONDS:
        return True
    async with database.write() as connection:
        query = update(uploads).where(uploads.c.id == row.id).values(used_at=time.time())
        return bool((await connection.execute(query)).rowcount)


async def remember(connection: AsyncConnection, row: UploadRow) -> None:
    """An upload has begun."""
    values = {
        "id": row.id, "owner": row.key.owner, "project": row.key.project, "hash": row.key.hash, "target": row.target,
        "storage_id": row.storage_id, "sha256": row.sha256, "used_at": row.used_at, "created_at": row.used_at,
    }  # fmt: skip
    await connection.execute(insert(uploads).values(**values))


async def commit(connection: AsyncConnection, upload_id: str, key: PoolKey, found: Verified) -> None:
    """The bytes lie at the key: from now on everybody may count on it, and the upload is over."""
    now = time.time()
    row = {"owner": key.owner, "project": key.project, "hash": key.hash, "sha256": found.sha256, "size": found.size}
    await connection.execute(
        insert(staged)
        .values(**row, used_at=now, created_at=now)
        .on_conflict_do_update(["owner", "project", "hash"], set_={"used_at": now})
    )
    await forget(connection, upload_id)


async def forget(connection: AsyncConnection, upload_id: str) -> None:
    """The upload is over, well or not."""
    await connection.execute(uploads.delete().where(uploads.c.id == upload_id))
