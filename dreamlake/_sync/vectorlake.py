# Generated from dreamlake/_async/vectorlake.py by scripts/unasync.py. Edit that file, then run it.
"""A lake's client for its vector indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from dreamlake._sync.lake import Lake
from dreamlake.core.arrowrows import ARROW
from dreamlake.core.prefix import Place
from dreamlake.core.targets import DEFAULT_SPACE
from dreamlake.core.wirevectors import (
    Added,
    Deleted,
    DeleteRows,
    Hit,
    Hits,
    IndexInfo,
    IndexItems,
    SearchVectors,
    Updated,
    UpdateRow,
    Where,
)

__all__ = ["VectorLake"]

T = TypeVar("T")

PAGE = 100
IDS = 1000  # in a request
LONG = 3600.0  # seconds that an index over millions of vectors may take
ROWS_SECONDS = 300.0


class VectorLake(Lake):
    """A lake's client for its vector indexes; each is said by the folder that it is in, and its name."""

    def namespace_of(self, place: Place) -> str:
        """The namespace of a place; your own where it names none."""
        return place.space.namespace or self.me().namespace

    def indexes(self, place: Place) -> Iterator[IndexInfo]:
        """The indexes below a folder."""
        namespace = self.namespace_of(place)
        query = {"prefix": place.folder, "limit": str(PAGE)}
        while True:
            url = f"{self.address.remote}/indexes/{namespace}/{place.space.space or DEFAULT_SPACE}"
            page = self._call("GET", url, IndexItems, query=query)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            query["cursor"] = page.next_cursor

    def index(self, namespace: str, place: Place, name: str) -> IndexInfo:
        """What is known of an index."""
        return self._call("GET", self._index(namespace, place, name), IndexInfo, query=_where(place))

    def drop(self, namespace: str, place: Place, name: str) -> None:
        """Delete an index."""
        url = self._index(namespace, place, name)
        self.send("DELETE", url, query=_where(place), key=True, wait=ROWS_SECONDS)

    def add_rows(self, namespace: str, place: Place, name: str, body: bytes, encoder: str | None) -> Added:
        """Add rows."""
        query = _where(place) | ({} if encoder is None else {"encoder": encoder})
        url, headers = f"{self._index(namespace, place, name)}/vectors", {"Content-Type": ARROW}
        response = self.send("POST", url, content=body, query=query, headers=headers, key=True, wait=ROWS_SECONDS)
        return self._decoded(response, Added)

    def rows(self, namespace: str, place: Place, name: str) -> bytes:
        """All rows."""
        url = f"{self._index(namespace, place, name)}/vectors"
        return self.send("GET", url, query=_where(place), key=True, wait=ROWS_SECONDS).content

    def search_rows(self, namespace: str, place: Place, name: str, body: SearchVectors) -> list[Hit]:
        """Search an index."""
        found = self._post(namespace, place, name, "search", body, Hits)
        return found.items

    def delete_rows(self, namespace: str, place: Place, name: str, ids: list[str] | None, where: Where | None) -> int:
        """Delete rows; how many were there."""
        listed = [None] if ids is None else [ids[at : at + IDS] for at in range(0, len(ids), IDS)]
        gone = 0
        for some in listed:
            gone += self._post(namespace, place, name, "delete", DeleteRows(some, where), Deleted).deleted
        return gone

    def update_row(self, namespace: str, place: Place, name: str, body: UpdateRow) -> Updated:
        """Change a row."""
        url = f"{self._index(namespace, place, name)}/vectors"
        return self._call("PATCH", url, Updated, body, query=_where(place))

    def optimize(self, namespace: str, place: Place, name: str, *, ann: bool) -> IndexInfo:
        """Look after an index now."""
        query = _where(place) | {"ann": "true" if ann else "false"}
        url = f"{self._index(namespace, place, name)}/optimize"
        return self._decoded(self.send("POST", url, query=query, key=True, wait=LONG), IndexInfo)

    def _post(self, namespace: str, place: Place, name: str, what: str, body: Any, answer: type[T]) -> T:
        url, content = f"{self._index(namespace, place, name)}/{what}", msgspec.json.encode(body)
        response = self.send("POST", url, content=content, query=_where(place), key=True, wait=ROWS_SECONDS)
        return self._decoded(response, answer)

    def _index(self, namespace: str, place: Place, name: str) -> str:
        space = place.space.space or DEFAULT_SPACE
        return f"{self.address.remote}/indexes/{namespace}/{space}/{quote(name, safe='')}"


def _where(place: Place) -> dict[str, str]:
    return {} if place.folder == "/" else {"prefix": place.folder}
