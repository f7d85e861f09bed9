"""The parts of a multipart upload, and the state that lets the next run resume one (seed 4).

Constants as in the seed: 10 MB parts, 4 at once, SHA-256 with its first 16 hex digits as the name. S3 takes at most
10,000 parts, so the part size grows for very large files.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

__all__ = [
    "CONCURRENCY", "MAX_PARTS", "PART_SIZE", "CompletedPart", "Part", "UploadState", "part_size_for", "plan_parts",
]  # fmt: skip

PART_SIZE = 10 * 1024 * 1024
MIN_PART_SIZE = 5 * 1024 * 1024
MAX_PARTS = 10_000
CONCURRENCY = 4
HASH_DIGITS = 16
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Part:
    """One part: its number (from 1), where it begins and how many bytes it has."""

    number: int
    offset: int
    size: int


def part_size_for(size: int) -> int:
    """The part size in bytes for a file of ``size`` bytes: 10 MB, or as many whole MiB as keep within 9,500 parts."""
    return max(PART_SIZE, -(-size // 9_500 // _MIB) * _MIB)


def plan_parts(size: int, part_size: int) -> list[Part]:
    """Cut a file into parts; an empty file has one empty part."""
    count = max(1, -(-size // part_size))
    return [Part(n + 1, n * part_size, min(part_size, size - n * part_size)) for n in range(count)]


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
