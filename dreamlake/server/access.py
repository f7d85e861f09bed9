"""Who may do what: API keys, the namespace that each belongs to, and what it may do there.

The embedded lake and a server that never had a key ask for none. A route says with ``opt`` what it is open to where it
is not what its method says: ``access="public"`` to everybody, ``access="signed"`` also to a presigned URL, which the
route itself verifies; ``scope`` of another name than read for GET and HEAD, and write for the rest.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any

from litestar import Request
from sqlalchemy import select

from dreamlake.core.keys import ApiKey, Scope, WhenAsked, allows
from dreamlake.errors import InvalidKeyError
from dreamlake.server.database import Database
from dreamlake.server.errors import Refused
from dreamlake.server.schema import api_keys

__all__ = ["ADMIN", "ANYONE", "PUBLIC", "SIGNED", "Access", "Caller", "any_keys", "new_key"]

PUBLIC = {"access": "public"}
SIGNED = {"access": "signed"}
ADMIN = {"scope": "admin"}

FRESH_SECONDS = 1.0  # so long after it was revoked, a key may still be taken
KNOWN = 10_000  # keys that are remembered
_NOBODY = "0" * 64  # the digest of no key


@dataclass(frozen=True)
class Caller:
    """Who makes a request.

    Attributes:
        namespace: that its key belongs to; None without a key, where none is needed, and then all of them.
        scope: what it may do.
        key_id: of its key.
    """

    namespace: str | None = None
    scope: Scope = "admin"
    key_id: str | None = None

    def owns(self, namespace: str) -> bool:
        """Whether a namespace is this caller's to see."""
        return self.namespace is None or self.namespace == namespace

    def admit(self, namespace: str) -> None:
        """Refuse what is in another namespace, as if it were not there.

        Raises:
            Refused: 404.
        """
        if not self.owns(namespace):
            raise Refused(404, f"there is no namespace {namespace}")


ANYONE = Caller()


@dataclass(frozen=True)
class _Known:
    caller: Caller
    digest: str
    until: float


class Access:
    """Finds out who makes a request.

    Args:
        database: that has the keys.
        when: a request needs a key.
    """

    def __init__(self, database: Database, when: WhenAsked) -> None:
        self._database = database
        self._when = when
        self._known: dict[str, _Known] = {}
        self._needed_until = 0.0  # when it has to be asked again whether there are keys
        self._needed = when == "always"

    async def caller(self, request: Request[Any, Any, Any]) -> Caller:
        """Who makes a request, and may.

        Raises:
            Refused: 401 without a good key, 403 with one that may not do this.
        """
        options = request.route_handler.opt
        access = options.get("access")
        if access == "public" or (access == "signed" and "signature" in request.query_params):
            return ANYONE
        if not await self._keys_needed():
            return ANYONE
        caller = await self._of_key(_presented(request))
        wanted: Scope = options.get("scope") or ("read" if request.method in ("GET", "HEAD") else "write")
        if not allows(caller.scope, wanted):
            raise Refused(403, f"the key dlk_{caller.key_id} is for {caller.scope} alone, and this needs {wanted}")
        return caller

    def forget(self) -> None:
        """The keys have changed."""
        self._known.clear()
        self._needed_until = 0.0

    async def _keys_needed(self) -> bool:
        now = time.monotonic()
        if self._when == "if there are keys" and not self._needed and now >= self._needed_until:
            self._needed = await any_keys(self._database)
            self._needed_until = now + FRESH_SECONDS
        return self._needed

    async def _of_key(self, key: ApiKey) -> Caller:
        now = time.monotonic()
        known = self._known.get(key.id)
        if known is None or now >= known.until:
            known = await self._look_up(key.id, now + FRESH_SECONDS)
        # A key that is not known takes as long as one whose secret is wrong.
        right = hmac.compare_digest(key.digest, known.digest if known is not None else _NOBODY)
        if known is None or not right:
            raise _unknown("this API key is not known here, or was revoked")
        return known.caller

    async def _look_up(self, key_id: str, until: float) -> _Known | None:
        query = select(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        async with self._database.read(quick=True) as connection:
            row = (await connection.execute(query)).first()
        self._known.pop(key_id, None)
        if row is None:
            return None
        while len(self._known) >= KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[key_id] = _Known(Caller(row.namespace, row.scope, row.id), row.digest, until)
        return self._known[key_id]


async def any_keys(database: Database) -> bool:
    """Whether a lake has keys. One that was revoked counts: what was closed once does not open by itself."""
    async with database.read(quick=True) as connection:
        return await connection.scalar(select(api_keys.c.id).limit(1)) is not None


def _presented(request: Request[Any, Any, Any]) -> ApiKey:
    """The key that comes with a request: in one header, and nowhere else."""
    found = request.headers.getall("authorization", [])
    if not found:
        raise _unknown("this lake wants an API key: Authorization: Bearer dlk_…")
    scheme, _, text = found[0].partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer":
        raise _unknown("the key comes in one header: Authorization: Bearer dlk_…")
    try:
        return ApiKey.parse(text.strip(" "))
    except InvalidKeyError as error:
        raise _unknown(str(error)) from None


def _unknown(detail: str) -> Refused:
    return Refused(401, detail, {"WWW-Authenticate": 'Bearer realm="dreamlake"'})


def new_key() -> ApiKey:
    """A key that nobody can guess."""
    return ApiKey.make(secrets.token_bytes(32))
