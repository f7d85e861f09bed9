"""What the tests of uploads share: files of several parts, and a lake behind a proxy that loses things."""

from __future__ import annotations

import inspect
import random
import unicodedata
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import httpx

import dreamlake as dl
from tests.clips import Clip
from tests.faults import FaultProxy

QUICK = Clip(options={"preset": "veryfast", "g": "10"}, frames=10)
OPTIONS = inspect.signature(dl.upload).parameters
PART = (5 if "part_size" in OPTIONS else 10) * 1024**2  # S3 takes no smaller ones
PARTS: dict[str, Any] = {"part_size": PART} if "part_size" in OPTIONS else {}


def video_of(size: int, path: Path, seed: object) -> Path:
    """A video of so many bytes, most of them in a box that players skip (``free``, ISO/IEC 14496-12).

    Args:
        size: bytes.
        path: where it goes.
        seed: another one makes other bytes.
    """
    QUICK.make(path)
    rest = size - path.stat().st_size
    assert rest > 8
    filling = random.Random(f"{seed}")
    with path.open("ab") as file:
        file.write(rest.to_bytes(4, "big") + b"free")
        for at in range(8, rest, 1 << 20):
            file.write(filling.randbytes(min(1 << 20, rest - at)))
    return path


@dataclass(frozen=True)
class Lab:
    """A served lake, and the proxy that clients are to reach it through.

    Attributes:
        url: the lake itself.
        proxy: in front of it.
        data: the folder of the lake.
    """

    url: str
    proxy: FaultProxy
    data: Path

    def videos(self, owner: str, project: str) -> list[dict[str, Any]]:
        """What is registered in a project."""
        answer = httpx.get(f"{self.url}/videos", params={"owner": owner, "project": project, "limit": 1000})
        items: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        return items

    def digest(self, asset: str) -> str:
        """The SHA-256 of the original bytes of a video, as the lake gives them back."""
        digest = sha256()
        with httpx.stream("GET", f"{self.url}/videos/{asset}/raw", follow_redirects=True) as answer:
            for piece in answer.raise_for_status().iter_bytes():
                digest.update(piece)
        return digest.hexdigest()

    def check(self, path: Path, owner: str, project: str) -> None:
        """Assert that a file is there once, whole and processed, and nothing else in its project."""
        items = self.videos(owner, project)
        name = unicodedata.normalize("NFC", path.name)  # as which the lake keeps it
        assert [(item["name"], item["status"]) for item in items] == [(f"/{name}", "ready")]
        with path.open("rb") as file:
            expected = file_digest(file, "sha256").hexdigest()
        assert items[0]["sha256"] == expected
        assert self.digest(items[0]["id"]) == expected
