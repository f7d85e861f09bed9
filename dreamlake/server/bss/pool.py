"""The staging pool: which bytes are staged under which name, and which names are promised to uploads under way.

Whoever changes it holds the names first (``hold_names``): whether one is free is read off several tables.

A file is named by the first 16 hex digits of its SHA-256 (seed 4). That is a name and no identity: where it is taken by
other bytes, or about to be deleted, the file goes by all 64 digits. A name is promised when an upload begins, so that
no two uploads ever write different bytes to one key.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.server.database import Database, hold, insert
from dreamlake.server.errors import Refused
from dreamlake.server.schema import staged, uploads
from dreamlake.server.sidecar import staging_key

__all__ = [
    "PoolKey", "UploadRow", "Verified", "commit", "find_staged", "find_upload", "find_uploads", "forget", "hold_names",
    "keep", "remember", "reserve", "use",
]  # fmt: skip

REMEMBER_SECONDS = 600.0  # how old the note of an upload's last use may be

_ID = re.compile(r"[0-9a-f]{32}")
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


async def hold_names(connection: AsyncConnection, keys: Iterable[PoolKey]) -> None:
    """Keep all others who change the pool from these names, and from others that the same bytes may have.

    Args:
        connection: in a transaction that writes, and has changed nothing yet.
        keys: all that the transaction is about.
    """
    # Both names of some bytes begin with the same digit. The locks are few, because a server has room for so many only.
    await hold(connection, {f"pool/{key.owner}/{key.project}/{key.hash[0]}" for key in keys})


async def find_staged(connection: AsyncConnection, keys: Iterable[PoolKey]) -> dict[PoolKey, Verified]:
    """What is staged at these keys."""
    keys = set(keys)
    query = select(staged).where(staged.c.hash.in_({key.hash for key in keys}), ~staged.c.collecting)
    found = {_key(row): Verified(row.sha256, row.size) for row in await connection.execute(query)}
    return {key: found[key] for key in keys & found.keys()}


async def use(connection: AsyncConnection, keys: Iterable[PoolKey]) -> dict[PoolKey, Verified]:
    """Say that somebody counts on what is staged at these keys, which keeps it from being collected.

    Args:
        connection: in a transaction that writes, and holds these names.
        keys: of the files.

    Returns:
        What is there. For the others it is late: they are not there any more, or about to be deleted.
    """
    found = await find_staged(connection, keys)
    by_project: dict[tuple[str, str], set[str]] = {}
    for key in found:
        by_project.setdefault((key.owner, key.project), set()).add(key.hash)
    for (owner, project), hashes in by_project.items():
        where = (staged.c.owner == owner, staged.c.project == project, staged.c.hash.in_(hashes))
        await connection.execute(update(staged).where(*where).values(used_at=time.time()))
    return found


async def reserve(
    connection: AsyncConnection, wanted: Sequence[tuple[PoolKey, str | None]]
) -> list[tuple[PoolKey, bool]]:
    """The keys for bytes with these SHA-256, and whether they are staged there already.

    Args:
        connection: in a transaction that writes, and holds these names, if they are to be promised.
        wanted: for each the key by the first 16 hex digits of its SHA-256, and all 64; None when they were not
            announced, and then nothing is promised.

    Raises:
        Refused: bytes that are being deleted under both their names.
    """
    names = {name for key, digest in wanted if digest is not None for name in (key.hash, digest)}
    there = {_key(row): row for row in await connection.execute(select(staged).where(staged.c.hash.in_(names)))}
    promised: dict[PoolKey, set[str]] = {}
    query = select(uploads).where(uploads.c.hash.in_(names), uploads.c.sha256.is_not(None))
    for row in await connection.execute(query):
        promised.setdefault(_key(row), set()).add(row.sha256)
    return [_reserved(key, digest, there, promised) for key, digest in wanted]


def _reserved(
    short: PoolKey, digest: str | None, there: Mapping[PoolKey, Any], promised: dict[PoolKey, set[str]]
) -> tuple[PoolKey, bool]:
    if digest is None:
        return short, False
    for key in (short, replace(short, hash=digest)):
        row = there.get(key)
        if row is not None and (row.collecting or row.sha256 != digest):
            continue
        if row is not None or promised.setdefault(key, set()) <= {digest}:
            promised.setdefault(key, set()).add(digest)
            return key, row is not None
    raise Refused(503, f"{digest} is being deleted; try again", {"Retry-After": "1"})


async def find_uploads(database: Database, wanted: Mapping[str, PoolKey]) -> dict[str, UploadRow]:
    """Uploads under way, by their ids, as far as they go to these keys."""
    ids = [upload_id for upload_id in wanted if _ID.fullmatch(upload_id)]  # else it may be what no text can be
    async with database.read() as connection:
        rows = (await connection.execute(select(uploads).where(uploads.c.id.in_(ids)))).all()
    return {
        row.id: UploadRow(row.id, _key(row), row.target, row.storage_id, row.sha256, row.used_at)
        for row in rows
        if wanted[row.id] == _key(row)
    }


async def find_upload(database: Database, upload_id: str, key: PoolKey) -> UploadRow | None:
    """An upload under way."""
    return (await find_uploads(database, {upload_id: key})).get(upload_id)


async def keep(database: Database, row: UploadRow) -> bool:
    """Say that somebody goes on with an upload, which keeps it from being collected; False if it is late."""
    if time.time() - row.used_at < REMEMBER_SECONDS:
        return True
    async with database.write() as connection:
        query = update(uploads).where(uploads.c.id == row.id).values(used_at=time.time())
        return bool((await connection.execute(query)).rowcount)


async def remember(connection: AsyncConnection, rows: Sequence[UploadRow]) -> None:
    """Uploads have begun."""
    values = [
        {
            "id": row.id, "owner": row.key.owner, "project": row.key.project, "hash": row.key.hash,
            "target": row.target, "storage_id": row.storage_id, "sha256": row.sha256, "used_at": row.used_at,
            "created_at": row.used_at,
        }
        for row in rows
    ]  # fmt: skip
    if values:
        await connection.execute(uploads.insert(), values)


async def commit(connection: AsyncConnection, done: Sequence[tuple[UploadRow, Verified]]) -> None:
    """The bytes lie at their keys: from now on everybody may count on them, and the uploads are over."""
    await hold_names(connection, [row.key for row, _ in done])
    now = time.time()
    values = [
        {
            "owner": row.key.owner, "project": row.key.project, "hash": row.key.hash, "sha256": found.sha256,
            "size": found.size, "used_at": now, "created_at": now,
        }
        for row, found in done
    ]  # fmt: skip
    if values:
        renew = insert(connection, staged).on_conflict_do_update(
            index_elements=["owner", "project", "hash"], set_={"used_at": now}
        )
        await connection.execute(renew, values)
        await connection.execute(uploads.delete().where(uploads.c.id.in_([row.id for row, _ in done])))


async def forget(connection: AsyncConnection, upload_id: str) -> None:
    """The upload is over, well or not."""
    await connection.execute(uploads.delete().where(uploads.c.id == upload_id))


def _key(row: Any) -> PoolKey:
    return PoolKey(row.owner, row.project, row.hash)
