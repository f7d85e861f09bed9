"""What the lake asks of a storage.

Keys are paths like ``alice/robotics/staging/0123456789abcdef``; whoever makes one has validated its parts. Objects
are written whole or not at all, and what was acknowledged survives a crash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dreamlake.core.parts import CompletedPart
from dreamlake.core.wire import PartDone

__all__ = ["Staged", "Storage", "StorageError", "UnknownUploadError"]


class StorageError(Exception):
    """What a client asked of the storage makes no sense there: a wrong part list, a checksum that does not match."""


class UnknownUploadError(StorageError):
    """An upload that the storage does not know, or no longer."""


@dataclass(frozen=True)
class Staged:
    """A joined upload: its SHA-256 in hex and its size in bytes."""

    sha256: str | None
    size: int


class Storage(Protocol):
    """Objects by key, and multipart uploads into them."""

    @property
    def location(self) -> str:
        """What ``open_storage`` needs to open the same storage in another process."""

    @property
    def scratch(self) -> Path:
        """A folder for temporary files, from which ``write_file`` is cheapest."""

    async def size(self, key: str) -> int | None:
        """The size of an object in bytes; None when there is none."""

    async def read(self, key: str) -> bytes:
        """A small object, whole. Raises FileNotFoundError."""

    def stream(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes [start, stop) of an object, in pieces of bounded size."""

    async def write(self, key: str, data: bytes) -> None:
        """Write a small object, replacing the one that was there."""

    async def write_file(self, key: str, path: Path) -> None:
        """Write an object from a local file, which is moved away if that is cheaper."""

    async def delete(self, key: str) -> None:
        """Delete an object; that there is none is no error."""

    def local_file(self, key: str) -> AbstractAsyncContextManager[Path]:
        """The object as a local file that must not be altered. Raises FileNotFoundError."""

    async def begin_upload(self, key: str) -> str:
        """Begin a multipart upload into a key; returns its id."""

    async def write_part(
        self, upload_id: str, key: str, number: int, body: AsyncIterator[bytes], sha256: bytes | None
    ) -> str:
        """Write one part, replacing the one that was there; returns its etag."""

    async def list_parts(self, upload_id: str, key: str) -> list[PartDone]:
        """The parts that are there, by number. Raises UnknownUploadError."""

    async def complete_upload(self, upload_id: str, key: str, parts: Sequence[CompletedPart], digest: str) -> Staged:
        """Join the parts into the object.

        Args:
            upload_id: of the upload.
            key: that it goes to.
            parts: all of them, by number.
            digest: hex digits that the SHA-256 of the whole begins with.

        Raises:
            UnknownUploadError: no such upload.
            StorageError: parts that are missing, twice, foreign or out of order, or another digest; nothing has
                changed then.
        """

    async def abort_upload(self, upload_id: str, key: str) -> None:
        """Forget an upload and its parts. Raises UnknownUploadError."""
