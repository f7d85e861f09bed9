"""Where a lake keeps its bytes: one protocol, and its implementations."""

from __future__ import annotations

from dreamlake.server.storage.base import Staged, Storage, StorageError, UnknownUploadError
from dreamlake.server.storage.local import LocalStorage

__all__ = ["LocalStorage", "Staged", "Storage", "StorageError", "UnknownUploadError", "open_storage"]


def open_storage(location: str) -> Storage:
    """The storage at a location, as ``Storage.location`` gives it; workers are started with it."""
    return LocalStorage(location)
