"""What the shell completes: ids, and places in the lake.

A server is asked, with little patience; where none answers, and of embedded lakes, which would have to be started,
nothing is offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import msgspec

from dreamlake.core.kinds import KINDS
from dreamlake.core.targets import DEFAULT_SPACE
from dreamlake.core.wirecatalog import FOLDER, AssetItems, NamedItems, Nodes
from dreamlake.core.wirekeys import Me
from dreamlake.errors import DreamlakeError

if TYPE_CHECKING:
    import httpx

__all__ = ["complete_name", "complete_place"]

T = TypeVar("T")

SECONDS = 1.0  # for each of the few requests
OFFERED = 100
SPACES = 20
IDS = 1000
_ID = re.compile(rf"({'|'.join(kind.prefix for kind in KINDS)})-[0-9A-Za-z]*")
_HEAD = re.compile(r"(?:(?P<namespace>[^@:/]*)@)?(?P<space>[^@:/]*)(?::(?P<episode>[^@:/]*))?")


def complete_name(incomplete: str) -> list[str]:
    """What an asset or a folder may be called by that begins so."""
    return _complete(incomplete, ids=True)


def complete_place(incomplete: str) -> list[str]:
    """What a folder may be called by that begins so."""
    return _complete(incomplete, ids=False)


def _complete(incomplete: str, *, ids: bool) -> list[str]:
    with suppress(DreamlakeError, OSError, msgspec.MsgspecError):
        return _offers(incomplete, ids=ids)
    return []


def _offers(incomplete: str, *, ids: bool) -> list[str]:
    import httpx

    from dreamlake.config import current_lake

    address = current_lake()
    if address.data is not None:
        return []
    headers = {"Authorization": f"Bearer {address.api_key}"} if address.api_key else {}
    try:
        with httpx.Client(base_url=address.remote, headers=headers, timeout=SECONDS) as client:
            lake = _Lake(client)
            if ids and _ID.fullmatch(incomplete):
                return [offer for offer in lake.ids(incomplete) if offer.startswith(incomplete)]
            found = lake.paths(incomplete) if "/" in incomplete else lake.places(incomplete)
            return [offer for offer in found if offer.startswith(incomplete)]
    except (httpx.HTTPError, httpx.InvalidURL):
        return []


class _Lake:
    """A lake that is asked what it has."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ids(self, incomplete: str) -> Iterator[str]:
        """The ids of a kind, in the spaces of your own namespace."""
        kind = next(kind for kind in KINDS if incomplete.startswith(f"{kind.prefix}-"))
        me = self._me()
        for space in self._named(f"/namespaces/{me}/spaces", SPACES):
            query = {"namespace": me, "space": space, "limit": str(IDS)}
            yield from (item.resource_id for item in self._get(f"/assets/{kind.name}", AssetItems, query).items)

    def paths(self, incomplete: str) -> Iterator[str]:
        """What lies in the folder that is named so far."""
        head, slashes, path = incomplete.partition("//")
        if not slashes:
            if not incomplete.startswith("/"):
                return
            head, path = "", incomplete[1:]
        match = _HEAD.fullmatch(head)
        if match is None:
            return
        folder, _, begun = path.rpartition("/")
        query = {
            "namespace": match["namespace"] or self._me(), "space": match["space"] or DEFAULT_SPACE,
            "prefix": f"/{folder}", "pattern": f"{f'/{folder}'.rstrip('/')}/{begun}*", "limit": str(OFFERED),
        }  # fmt: skip
        if match["episode"]:
            query["episode"] = match["episode"]
        for node in self._get("/nodes", Nodes, query).items:
            name = f"{node.name}/" if node.kind == FOLDER else node.name
            yield f"{head}/{name}" if slashes else name

    def places(self, incomplete: str) -> Iterator[str]:
        """The spaces of a namespace, or the episodes of a space."""
        match = _HEAD.fullmatch(incomplete)
        if match is None:
            return
        if match["episode"] is not None:
            namespace = match["namespace"] or self._me()
            head = incomplete.rpartition(":")[0]
            episodes = self._named(f"/namespaces/{namespace}/spaces/{match['space']}/episodes", OFFERED)
            yield from (f"{head}:{episode}//" for episode in episodes)
            return
        namespace = match["namespace"] or self._me()
        yield from (f"{namespace}@{space}//" for space in self._named(f"/namespaces/{namespace}/spaces", OFFERED))

    def _named(self, path: str, limit: int) -> list[str]:
        return [item.name for item in self._get(path, NamedItems, {"limit": str(limit)}).items]

    def _me(self) -> str:
        return self._get("/auth/me", Me, {}).namespace

    def _get(self, path: str, answer: type[T], query: dict[str, str]) -> T:
        response = self._client.get(path, params=query).raise_for_status()
        return msgspec.json.decode(response.content, type=answer)
