"""What the lake asks of a storage.

Keys are paths like ``alice/robotics/staging/0123456789abcdef``; whoever makes one has validated its parts. Objects
are written whole or not at all, and what was acknowledged survives a crash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from dreamlake.core.parts import CompletedPart
from dreamlake.core.wireuploads import PartDone

__all__ = [
    "URL_SECONDS", "Listed", "Pending", "Staged", "Storage", "StorageDown", "StorageError", "UnknownUploadError",
    "check_parts", "key_parts", "unknown_upload",
]  # fmt: skip


URL_SECONDS = 3600  # that a signed URL is good for


class StorageError(Exception):
    """What a client asked of the storage makes no sense there: a wrong part list, a checksum that does not match."""


class UnknownUploadError(StorageError):
    """An upload that the storage does not know, or no longer."""


class StorageDown(OSError):
    """The storage cannot be reached, or fails; the same may well succeed later."""


@dataclass(frozen=True)
class Staged:
    """A joined upload: its SHA-256 in hex, None when the storage has not read the bytes, and its size in bytes."""

    sha256: str | None
    size: int


@dataclass(frozen=True)
class Listed:
    """An object as a listing shows it: size in bytes, and when it was written or touched, seconds since the epoch."""

    key: str
    size: int
    modified: float


@dataclass(frozen=True)
class Pending:
    """An upload that was begun and neither completed nor aborted; begun in seconds since the epoch."""

    key: str
    upload_id: str
    begun: float


class Storage(Protocol):
    """Objects by key, and multipart uploads into them. It is used inside ``async with``, which holds connections."""

    @property
    def location(self) -> str:
        """What ``open_storage`` needs to open the same storage in another process."""

    @property
    def scratch(self) -> Path:
        """A folder of this machine for temporary files, from which ``write_file`` is cheapest."""

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            ConfigError: it is not there, or may not be used.
            StorageDown: it does not answer.
        """

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections."""

    # -- objects -----------------------------------------------------------------------------------------------------

    async def size(self, key: str) -> int | None:
        """The size of an object in bytes; None when there is none."""

    async def digest(self, key: str) -> str | None:
        """The SHA-256 of an object's bytes in hex; None when there is none."""

    async def read(self, key: str) -> bytes:
        """A small object, whole. Raises FileNotFoundError."""

    async def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Small objects, whole and in order; None for those that are not there."""

    def stream(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes [start, stop) of an object, in pieces of bounded size. Raises FileNotFoundError."""

    async def write(self, key: str, data: bytes) -> None:
        """Write a small object, replacing the one that was there."""

    async def write_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        """Write an object from a local file, which is moved away; whoever knows its SHA-256 in hex says it."""

    async def move(self, source: str, target: str) -> None:
        """Give an object another key, replacing the one that was there. Raises FileNotFoundError."""

    async def touch(self, key: str) -> bool:
        """Make an object as young as a new one; False when there is none."""

    async def delete(self, key: str) -> None:
        """Delete an object; that there is none is no error."""

    async def delete_if_older(self, key: str, before: float) -> bool:
        """Delete an object that was last written or touched before a time, in seconds since the epoch."""

    def list_objects(self, prefix: str) -> AsyncIterator[Listed]:
        """All objects whose keys begin with a prefix, in no certain order; pages of them are in memory at a time."""

    def sweep(self, before: float, *, dry_run: bool = False) -> AsyncIterator[Listed]:
        """Delete what crashes have left beside the objects and uploads.

        Args:
            before: what has not changed since then, seconds since the epoch.
            dry_run: whether it is left there.

        Returns:
            What was found, each under a name that is no key.
        """

    def local_file(self, key: str) -> AbstractAsyncContextManager[Path]:
        """The object as a local file that must not be altered. Raises FileNotFoundError."""

    async def sign_get(self, key: str, media_type: str, filename: str | None = None) -> str | None:
        """A URL that gives the bytes to whoever has it, for ``URL_SECONDS``; None when only the lake can give them.

        Args:
            key: of the object, which is not looked for.
            media_type: of the answer.
            filename: that a browser saves it as.
        """

    async def engine_place(self, name: str) -> tuple[str, dict[str, str]]:
        """Where an engine that reads and writes by itself keeps its files: a place that no key leads to.

        Args:
            name: of the engine's place.

        Returns:
            A folder or an ``s3://`` URL, and what it takes to get there, as the Rust crate object_store calls it.
        """

    # -- multipart uploads -------------------------------------------------------------------------------------------

    async def checks_parts(self) -> bool:
        """Whether a part whose bytes do not match the checksum it was signed with is refused."""

    async def begin_upload(self, key: str, *, one_part: bool = False) -> str:
        """Begin a multipart upload into a key; returns its id.

        Args:
            key: that the object will have.
            one_part: it will come as one part, whose checksum is the whole's.
        """

    async def sign_part(self, upload_id: str, key: str, number: int, sha256: bytes | None) -> str | None:
        """A URL to PUT one part to; None when the lake takes it with ``write_part``.

        Whoever uses it sends the headers that its query ``X-Amz-SignedHeaders`` names.

        Args:
            upload_id: of the upload, which is not looked for.
            key: that it goes to.
            number: of the part, 1 to 10,000.
            sha256: of the part's bytes, if it is known.
        """

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
            digest: hex digits that the SHA-256 of the whole begins with; a storage that does not read the bytes
                cannot look at it, and says so with ``Staged.sha256``.

        Raises:
            UnknownUploadError: no such upload.
            StorageError: parts that are missing, twice, foreign or out of order, or another digest; nothing has
                changed then.
        """

    async def abort_upload(self, upload_id: str, key: str) -> None:
        """Forget an upload and its parts. Raises UnknownUploadError."""

    def list_uploads(self) -> AsyncIterator[Pending]:
        """All uploads that were begun and not ended."""


def key_parts(key: str) -> list[str]:
    """The names that a key is made of.

    Raises:
        StorageError: names that could lead elsewhere in a filesystem, or that none can hold.
    """
    names = key.split("/")
    if any(name in ("", ".", "..") or "\0" in name or "\\" in name or len(name.encode()) > 255 for name in names):
        raise StorageError(f"{key!r} is not a key")
    return names


def check_parts(there: Sequence[PartDone], parts: Sequence[CompletedPart]) -> None:
    """Compare the list that is to complete an upload with the parts that have come.

    Raises:
        StorageError: parts that are missing, left out, twice, foreign or out of order.
    """
    known = {part.part_number: part for part in there}
    numbers = [part.part_number for part in parts]
    if numbers != sorted(set(numbers)):
        raise StorageError("the parts are not in order, or one is there twice")
    if missing := sorted(set(numbers) - set(known)):
        raise StorageError(f"part {missing[0]} was never sent")
    if left_out := sorted(set(known) - set(numbers)):
        raise StorageError(f"part {left_out[0]} was sent and is not in the list")
    for part in parts:
        if part.etag.strip('"') != known[part.part_number].etag.strip('"'):
            raise StorageError(f"part {part.part_number} has another etag than the one in the list")


def unknown_upload() -> UnknownUploadError:
    """The error for an upload that is not known."""
    return UnknownUploadError("there is no such upload, or no longer")
