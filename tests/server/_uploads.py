"""What the tests of uploads share: bytes, and a look at answers and URLs."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx

from ._lake import Client, Upload

MIB = 1 << 20
DATA = b"the quick brown fox" * 100
HALVES = (DATA[:1000], DATA[1000:])
HASH = sha256(DATA).hexdigest()[:16]
ANNOUNCED: dict[str, Any] = {"sha256": sha256(DATA).hexdigest(), "size": len(DATA), "checksums": {}}


def problem(answer: httpx.Response, status: int) -> str:
    """The detail of an error answer, which must be problem details."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    detail: str = body["detail"]
    return detail


def altered(url: str, **changes: str) -> str:
    """The URL with other values of its parameters."""
    parts = urlsplit(url)
    return parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), **changes})).geturl()


async def path_and_target(upload: Upload) -> tuple[str, str]:
    """Where the first part goes, and what its URL says of the object."""
    url = urlsplit(await upload.url(1))
    return url.path, parse_qs(url.query)["target"][0]


def only_upload(client: Client) -> Path:
    """The folder of the one upload that is under way."""
    [folder] = (client.data / "uploads").iterdir()
    return folder
