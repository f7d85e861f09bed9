"""What every route works with: one lake's storage, database, signer and runner."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request
from litestar.di import NamedDependency

from dreamlake.core.signing import SignatureError, Signer
from dreamlake.server.access import ANYONE, Access, Caller
from dreamlake.server.database import Database
from dreamlake.server.errors import Refused
from dreamlake.server.lambdas.runner import Runner
from dreamlake.server.newid import new_id
from dreamlake.server.operation.transfers import Transfers
from dreamlake.server.settings import Settings
from dreamlake.server.signingkeys import SigningKeys
from dreamlake.server.storage import Storage
from dreamlake.server.vectors.indexes import Indexes

__all__ = ["Lake", "OpenLake", "check_request", "new_id", "verified"]


@dataclass(frozen=True)
class Lake:
    """The parts of a running lake."""

    settings: Settings
    storage: Storage
    database: Database
    signing: SigningKeys
    runner: Runner
    transfers: Transfers
    access: Access
    vectors: Indexes
    identity: str  # what tells this lake from others
    caller: Caller = ANYONE  # who asks: the routes get a lake each, of their caller's

    @property
    def signer(self) -> Signer:
        """With the signing keys of now."""
        return self.signing.signer

    def alone(self) -> None:
        """Refuse what concerns the whole lake to those who have a key to a part of it.

        Raises:
            Refused: 403.
        """
        if self.caller.namespace is not None:
            raise Refused(403, "this concerns all namespaces of the lake: do it where the lake runs, without a key")

    def base_url(self, request: Request[Any, Any, Any]) -> str:
        """What absolute URLs in an answer begin with."""
        return self.settings.public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"

    def signed_url(self, base: str, method: str, path: str, namespace: str, extra: dict[str, str] | None = None) -> str:
        """A presigned URL of this lake.

        The expiry is rounded, so that a URL asked for twice within minutes is the same one and caches can keep it.
        """
        step = max(1, self.settings.url_seconds // 4)
        expires = (int(time.time()) // step + 1) * step + self.settings.url_seconds
        return f"{base}{path}?{self.signer.query(method, path, namespace, expires, extra)}"


OpenLake = NamedDependency[Lake]  # how a route asks for the lake it serves


async def check_request(request: Request[Any, Any, Any]) -> None:
    """Refuse a request that is meant for another host, whose caller may not make it, or whose JSON body is not of the
    type that its route declares.

    The framework would take a text for a number where the text can be read as one.
    """
    hosts = request.state.lake.settings.hosts
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    if hosts is not None and host not in hosts:
        raise Refused(421, f"this lake is not {host}")
    request.state.caller = await request.state.lake.access.caller(request)
    field = request.route_handler.parsed_data_field
    if field is not None:
        try:
            msgspec.json.decode(await request.body(), type=field.annotation)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise Refused(400, str(error) or "the body is not JSON") from None


def verified(lake: Lake, request: Request[Any, Any, Any]) -> str:
    """The namespace that a presigned request was signed for.

    Raises:
        Refused: 403, when the signature is missing, altered or expired.
    """
    query: dict[str, str] = {}
    for name, values in request.query_params.dict().items():
        if len(values) != 1:
            raise Refused(403, f"the URL says {name} more than once")
        query[name] = values[0]
    try:
        return lake.signer.verify(request.method, request.url.path, query, time.time())
    except SignatureError as error:
        raise Refused(403, str(error)) from None
