# Generated from dreamlake/_async/journal.py by scripts/unasync.py. Edit that file, then run it.
"""The state file of one upload, ``~/.dreamlake/uploads/{hash}.json`` (seed 4, "Resume & Retry")."""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from dreamlake._sync._runtime import Lock, offload
from dreamlake.core.parts import CompletedPart, UploadState

__all__ = ["Journal"]

log = logging.getLogger("dreamlake")


class Journal:
    """What was sent of one file; it is replaced whole, so that a crash leaves the old state or the new one.

    Args:
        path: of the state file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._written = 0
        self._warned = False

    def read(self) -> UploadState | None:
        """The state of an earlier run; one that cannot be read is set aside."""
        try:
            return msgspec.json.decode(offload(self._path.read_bytes), type=UploadState)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeError, OSError):
            with suppress(OSError):
                offload(partial(self._path.replace, self._path.with_suffix(f".corrupt-{secrets.token_hex(4)}")))
            return None

    def write(self, state: UploadState) -> None:
        """Replace the state. Where that cannot be done the upload goes on, and could not be resumed."""
        with self._lock:
            self._replace(state)

    def add(self, state: UploadState, part: CompletedPart) -> None:
        """Note a part that the storage has acknowledged."""
        state.completed_parts.append(part)
        count = len(state.completed_parts)
        with self._lock:
            if self._written < count:  # else somebody has written this part with their own while we waited
                self._written = len(state.completed_parts)
                self._replace(state)

    def clear(self, state: UploadState) -> None:
        """The upload is complete; another one of the same bytes may have its own state there by now."""
        there = self.read()
        if there is not None and there.upload_id == state.upload_id:
            with suppress(OSError):
                offload(partial(self._path.unlink, missing_ok=True))

    def _replace(self, state: UploadState) -> None:
        try:
            offload(partial(_replace, self._path, msgspec.json.encode(state)))
        except OSError as error:
            if not self._warned:
                self._warned = True
                log.warning("%s: the upload could not be resumed: its state cannot be written (%s)", self._path, error)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
