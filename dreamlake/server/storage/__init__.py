"""Where a lake keeps its bytes: one protocol, and its implementations."""

from __future__ import annotations

from pathlib import Path

from dreamlake.errors import ConfigError, MissingExtraError
from dreamlake.server.storage.base import (
    URL_SECONDS,
    Listed,
    Pending,
    Staged,
    Storage,
    StorageDown,
    StorageError,
    UnknownUploadError,
)
from dreamlake.server.storage.local import LocalStorage

__all__ = [
    "URL_SECONDS", "Listed", "LocalStorage", "Pending", "Staged", "Storage", "StorageDown", "StorageError",
    "UnknownUploadError", "open_storage",
]  # fmt: skip


def open_storage(location: str, scratch: Path) -> Storage:
    """The storage at a location, as the user or ``Storage.location`` gives it; it is used inside ``async with``.

    Args:
        location: ``s3://bucket/prefix?endpoint=…&region=…&path_style=…``, every parameter optional, or a folder.
        scratch: a folder of this machine for temporary files; a storage in a folder has its own.

    Raises:
        ConfigError: a location that cannot be meant.
        MissingExtraError: S3 without the extra ``s3``.
    """
    scheme, separator, _ = location.partition("://")
    if not separator:
        return LocalStorage(location)
    if scheme != "s3":
        raise ConfigError(f"a lake keeps its bytes in a folder or at s3://bucket/prefix, not at {scheme}://")
    try:
        from dreamlake.server.storage.s3 import S3Storage
    except ModuleNotFoundError as error:
        raise MissingExtraError("s3", f"a lake in S3 ({error.name})") from error
    return S3Storage(location, scratch)
