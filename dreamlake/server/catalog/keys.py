"""Who is there, and the keys: making, listing and revoking them. A key's secret is only in the answer that makes it."""

from __future__ import annotations

import time
from typing import Any

from litestar import Router, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody
from sqlalchemy import select, update

from dreamlake.core.targets import check_slug
from dreamlake.core.wirekeys import CreateKey, KeyInfo, KeyMade, KeyPage, Me, RotateSigning, SigningRotated
from dreamlake.server.access import ADMIN, new_key
from dreamlake.server.errors import Refused
from dreamlake.server.lake import OpenLake
from dreamlake.server.schema import api_keys

__all__ = ["keys_router"]

MAX_PAGE = 1000


@get("/auth/me")
async def me(lake: OpenLake) -> Me:
    """Who the caller is, and what it may do."""
    caller = lake.caller
    return Me(caller.namespace or lake.settings.namespace, caller.scope, caller.key_id)


@post("/keys", opt=ADMIN)
async def create(data: JSONBody[CreateKey], lake: OpenLake) -> KeyMade:
    """Make a key for a namespace, the caller's own where none is named."""
    namespace = check_slug(data.namespace or lake.caller.namespace or lake.settings.namespace, "a namespace")
    lake.caller.admit(namespace)
    key, now = new_key(), time.time()
    row = {"id": key.id, "namespace": namespace, "scope": data.scope, "label": data.label, "created_at": now}
    async with lake.database.write() as connection:
        await connection.execute(api_keys.insert().values(**row, digest=key.digest))
    lake.access.forget()
    return KeyMade(key.id, namespace, data.scope, data.label, now, key=key.text)


@get("/keys", opt=ADMIN)
async def listing(
    lake: OpenLake,
    namespace: FromQuery[str | None] = None,
    limit: FromQuery[int] = 100,
    cursor: FromQuery[str | None] = None,
) -> KeyPage:
    """The keys of a namespace, or all that the caller may see; those that were revoked too."""
    limit = max(1, min(limit, MAX_PAGE))
    query = select(api_keys).order_by(api_keys.c.id).limit(limit + 1)
    if namespace is not None:
        lake.caller.admit(namespace)
    if (only := namespace or lake.caller.namespace) is not None:
        query = query.where(api_keys.c.namespace == only)
    if cursor is not None:
        query = query.where(api_keys.c.id > cursor)
    async with lake.database.read() as connection:
        rows = (await connection.execute(query)).all()
    items = [_info(row) for row in rows[:limit]]
    return KeyPage(items, items[-1].id if len(rows) > limit else None)


@delete("/keys/{key_id:str}", opt=ADMIN)
async def revoke(lake: OpenLake, key_id: FromPath[str]) -> None:
    """End a key, for good. Presigned URLs that it has asked for hold until they expire."""
    query = update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    if lake.caller.namespace is not None:
        query = query.where(api_keys.c.namespace == lake.caller.namespace)
    async with lake.database.write() as connection:
        ended = (await connection.execute(query.values(revoked_at=time.time()))).rowcount
    if not ended:
        raise Refused(404, f"there is no key {key_id} that could be revoked")
    lake.access.forget()


@post("/keys/signing", opt=ADMIN, status_code=200)
async def rotate(data: JSONBody[RotateSigning], lake: OpenLake) -> SigningRotated:
    """Sign presigned URLs with a new key from now on. It concerns all namespaces: only the lake's own machine may."""
    lake.alone()
    return SigningRotated(await lake.signing.rotate(at_once=data.at_once))


def keys_router() -> Router:
    """The routes about keys."""
    return Router("/", route_handlers=[me, create, listing, revoke, rotate])


def _info(row: Any) -> KeyInfo:
    return KeyInfo(row.id, row.namespace, row.scope, row.label, row.created_at, row.revoked_at)
