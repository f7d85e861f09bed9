"""The parts of a multipart upload, and the state that lets the next run resume one (seed 4).

Constants as in the seed: 10 MB parts, 4 at once, SHA-256 with its first 16 hex digits as the name. S3 takes at most
10,000 parts, so the part size grows for very large files.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import msgspec

from dreamlake.errors import SourceError, UsageError

__all__ = [
    "CONCURRENCY", "MAX_PARTS", "PART_SIZE", "PUT_SECONDS", "CompletedPart", "Digests", "Part", "UploadState",
    "checksum_headers", "part_size_for", "plan_parts",
]  # fmt: skip

PART_SIZE = 10 * 1024 * 1024
MIN_PART_SIZE = 5 * 1024 * 1024
MAX_PART_SIZE = 5 * 1024**3
MAX_PARTS = 10_000
MAX_SIZE = 5 * 1024**4  # of an object in S3
CONCURRENCY = 4
PUT_SECONDS = 300.0
HASH_DIGITS = 16
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Part:
    """One part: its number (from 1), where it begins and how many bytes it has."""

    number: int
    offset: int
    size: int


def part_size_for(size: int, wanted: int | None = None) -> int:
    """The part size in bytes for a file of ``size`` bytes: 10 MB, or as many whole MiB as keep it within 10,000 parts.

    Args:
        size: of the file, bytes.
        wanted: another size than 10 MB, which grows all the same.

    Raises:
        UsageError: smaller or larger than S3 takes.
        SourceError: a file that S3 does not take.
    """
    if wanted is not None and not MIN_PART_SIZE <= wanted <= MAX_PART_SIZE:
        raise UsageError(f"a part has {MIN_PART_SIZE} (5 MiB) to {MAX_PART_SIZE} bytes, and not {wanted}")
    if size > MAX_SIZE:
        raise SourceError(f"a file of {size / 1e12:.1f} TB is more than the 5 TiB that an object can have")
    least = -(-size // MAX_PARTS)
    wanted = wanted or PART_SIZE
    return wanted if least <= wanted else -(-least // _MIB) * _MIB


def plan_parts(size: int, part_size: int) -> list[Part]:
    """Cut a file into parts; an empty file has one empty part."""
    count = max(1, -(-size // part_size))
    return [Part(n + 1, n * part_size, min(part_size, size - n * part_size)) for n in range(count)]


class Digests:
    """The SHA-256 of each part of a file that is read from its beginning to its end.

    Args:
        part_size: bytes.
    """

    def __init__(self, part_size: int) -> None:
        self._part_size = part_size
        self._done: list[bytes] = []
        self._current = sha256()
        self._left = part_size

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        rest = memoryview(data)
        while rest:
            if not self._left:
                self._done.append(self._current.digest())
                self._current, self._left = sha256(), self._part_size
            piece, rest = rest[: self._left], rest[self._left :]
            self._current.update(piece)
            self._left -= len(piece)

    def finish(self) -> tuple[bytes, ...]:
        """The digests in the order of the parts; an empty file has one empty part."""
        return (*self._done, self._current.digest())


def checksum_headers(url: str, digest: bytes) -> dict[str, str]:
    """The headers that a presigned URL was signed with, and that must go with the part.

    Args:
        url: of S3, whose parameter ``X-Amz-SignedHeaders`` names them; other URLs need none.
        digest: SHA-256 of the part.
    """
    signed = parse_qs(urlsplit(url).query).get("X-Amz-SignedHeaders", [""])[0].split(";")
    return {"x-amz-checksum-sha256": base64.b64encode(digest).decode()} if "x-amz-checksum-sha256" in signed else {}


class CompletedPart(msgspec.Struct, rename="camel", frozen=True):
    """A part that the storage has acknowledged."""

    part_number: int
    etag: str


class UploadState(msgspec.Struct, rename="camel"):
    """``~/.dreamlake/uploads/{hash}.json``: the seed's fields, and what tells whether they still apply.

    Attributes:
        upload_id: of the storage.
        key: ``{owner}/{project}/staging/{hash}``.
        total_parts: how many there are.
        completed_parts: those that were acknowledged.
        sha256: the full digest; the 16 digits of the file name are not an identity.
        size: of the file, bytes.
        mtime_ns: when the file was changed last, nanoseconds since the epoch.
        inode: of the file.
        part_size: bytes.
        lake: the address of the storage that the upload was begun on.
    """

    upload_id: str
    key: str
    total_parts: int
    completed_parts: list[CompletedPart]
    sha256: str
    size: int
    part_size: int
    lake: str
    mtime_ns: int = 0
    inode: int = 0

    def missing(self, there: Iterable[tuple[int, str, int]]) -> list[Part]:
        """Note which parts the storage has, and return the others.

        Args:
            there: number, etag and size in bytes of each part that the storage lists. One of another size is none of
                ours, or was cut off: it is sent again.
        """
        parts = plan_parts(self.size, self.part_size)
        sizes = {part.number: part.size for part in parts}
        known = {number: etag for number, etag, size in there if sizes.get(number) == size}
        self.completed_parts = [CompletedPart(number, etag) for number, etag in sorted(known.items())]
        return [part for part in parts if part.number not in known]
