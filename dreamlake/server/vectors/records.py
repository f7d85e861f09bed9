"""What the database knows of indexes: where they are, what they are made of, and what was measured."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dreamlake.core.wirevectors import Ann
from dreamlake.server.catalog.tree import ensure_project, upsert
from dreamlake.server.database import Database
from dreamlake.server.errors import Refused
from dreamlake.server.schema import namespaces, projects, vector_indexes

__all__ = ["PlaceOfIndex", "Record", "ensure_record", "find_record", "page_of_records", "record_with_id", "set_ann"]


class PlaceOfIndex(msgspec.Struct, frozen=True):
    """Where an index is: a space of a namespace, and an absolute path there."""

    namespace: str
    space: str
    path: str

    def __str__(self) -> str:
        return f"{self.namespace}@{self.space}/{self.path}"


class Record(msgspec.Struct, frozen=True):
    """An index as its row says it; created_at in seconds since the epoch."""

    id: str
    path: str
    dim: int
    encoder: str | None
    ann: Ann | None
    created_at: float


_COLUMNS = [vector_indexes.c[name] for name in ("id", "path", "dim", "encoder", "ann", "created_at")]


def _in_space(place: PlaceOfIndex) -> Any:
    tables = vector_indexes.join(projects, projects.c.id == vector_indexes.c.project_id)
    tables = tables.join(namespaces, namespaces.c.id == projects.c.namespace_id)
    query = select(*_COLUMNS).select_from(tables)
    return query.where(namespaces.c.slug == place.namespace, projects.c.slug == place.space)


def _record(row: Any) -> Record:
    ann = None if row.ann is None else msgspec.convert(row.ann, Ann)
    return Record(row.id, row.path, row.dim, row.encoder, ann, row.created_at)


async def find_record(database: Database, place: PlaceOfIndex) -> Record:
    """The index at a place.

    Raises:
        Refused: 404, with the places where there is one of that name.
    """
    async with database.read(quick=True) as connection:
        row = (await connection.execute(_in_space(place).where(vector_indexes.c.path == place.path))).first()
        if row is not None:
            return _record(row)
        name = place.path.rsplit("/", 1)[-1]
        named = vector_indexes.c.path.endswith(f"/{name}", autoescape=True)
        others = (await connection.execute(_in_space(place).where(named).limit(3))).all()
    elsewhere = f"; there is {', '.join(row.path for row in others)}" if others else ""
    raise Refused(404, f"there is no vector index {place}{elsewhere}")


async def record_with_id(database: Database, record_id: str) -> Record | None:
    """The same index, if it is still there."""
    async with database.read(quick=True) as connection:
        row = (await connection.execute(select(*_COLUMNS).where(vector_indexes.c.id == record_id))).first()
    return None if row is None else _record(row)


async def ensure_record(database: Database, place: PlaceOfIndex, dim: int, encoder: str | None) -> Record:
    """The index at a place, made if there is none; whoever says an encoder first has said it for all.

    Raises:
        Refused: 409, its vectors have another length, or are another encoder's.
    """
    async with database.read(quick=True) as connection:
        row = (await connection.execute(_in_space(place).where(vector_indexes.c.path == place.path))).first()
    if row is None or (row.encoder is None and encoder is not None):
        async with database.write() as connection:
            row = await _made(connection, place, dim, encoder)
    record = _record(row)
    if record.dim != dim:
        raise Refused(409, f"the vectors of {place} have {record.dim} numbers, and these have {dim}")
    if encoder is not None and record.encoder != encoder:
        raise Refused(409, f"the vectors of {place} are made by {record.encoder}, and these by {encoder}")
    return record


async def _made(connection: AsyncConnection, place: PlaceOfIndex, dim: int, encoder: str | None) -> Any:
    project_id, _ = await ensure_project(connection, place.namespace, place.space, None, {})
    identity = {"project_id": project_id, "path": place.path}
    record_id = await upsert(connection, vector_indexes, identity, dim=dim, encoder=encoder)
    if encoder is not None:
        unsaid = (vector_indexes.c.id == record_id, vector_indexes.c.encoder.is_(None), vector_indexes.c.dim == dim)
        await connection.execute(update(vector_indexes).where(*unsaid).values(encoder=encoder))
    return (await connection.execute(select(*_COLUMNS).where(vector_indexes.c.id == record_id))).one()


async def page_of_records(database: Database, place: PlaceOfIndex, after: str | None, limit: int) -> list[Record]:
    """The indexes below a folder, in the order of their paths."""
    query = _in_space(place).order_by(vector_indexes.c.path).limit(limit)
    if place.path != "/":
        query = query.where(vector_indexes.c.path > f"{place.path}/", vector_indexes.c.path < f"{place.path}0")
    if after is not None:
        query = query.where(vector_indexes.c.path > after)
    async with database.read() as connection:
        return [_record(row) for row in await connection.execute(query)]


async def set_ann(database: Database, record_id: str, ann: Ann | None) -> None:
    """Note what was measured."""
    values = None if ann is None else msgspec.to_builtins(ann)
    async with database.write() as connection:
        await connection.execute(update(vector_indexes).where(vector_indexes.c.id == record_id).values(ann=values))
