# Generated from dreamlake/_async/trackbuffer.py by scripts/unasync.py. Edit that file, then run it.
"""Entries that are not in the lake yet: in memory, and in a file, where they outlive the process.

Each writer of a track has a file of its own, ``~/.dreamlake/tracks/{track}/{writer}.jsonl``, locked as long as it
lives. What a process leaves there was added and never acknowledged by the lake. It is not added again by itself: most
programs that failed are run again, and add the same entries anew.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import threading
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from dreamlake.config import home

__all__ = ["Leftover", "Sent", "TrackBuffer"]

log = logging.getLogger("dreamlake")


class Sent(msgspec.Struct, frozen=True):
    """A version of a track that was sent to the lake: its SHA-256 in hex, its bytes, and how many entries were new."""

    sha256: str
    size: int
    count: int


class Leftover(msgspec.Struct, frozen=True):
    """What a writer has left: its lines, the versions that were under way with the first of them, and where it is."""

    lines: list[bytes]
    sent: list[Sent]
    path: Path


class TrackBuffer:
    """The entries of one writer of a track, as lines of JSON.

    Args:
        track: what tells the track from all others of all lakes.
        title: of the track, for messages.
    """

    def __init__(self, track: str, title: str) -> None:
        self.title = title
        self.folder = home() / "tracks" / sha256(track.encode()).hexdigest()[:16]
        self.lines: list[bytes] = []
        self.path: Path | None = None
        self._handle: int | None = None
        self._lock = threading.Lock()
        self._warned = False

    def add(self, line: bytes) -> None:
        """Keep an entry. Where it cannot be written it is in memory alone."""
        with self._lock:
            self.lines.append(line)
            self._write(line)

    def drop(self, count: int) -> None:
        """The lake has the first of the entries."""
        with self._lock:
            del self.lines[:count]
            old, handle = self.path, self._handle
            self.path = self._handle = None
            for line in self.lines:  # into a file of their own, before the old one goes
                self._write(line)
            self._remove(old, handle)

    def note(self, sent: Sent) -> None:
        """Say which version is about to hold them: a process that ends before it hears of it may have made it."""
        if self.path is not None:
            with suppress(OSError), self._note(self.path).open("ab") as file:
                file.write(msgspec.json.encode(sent) + b"\n")

    def warn(self) -> None:
        """Say what was not flushed."""
        if self.lines:
            where = f"; they are kept in {self.path}, and recover() takes them from there" if self.path else ""
            what = "1 entry was" if len(self.lines) == 1 else f"{len(self.lines)} entries were"
            log.warning("%s: %s not flushed%s", self.title, what, where)
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None

    def leftovers(self) -> list[Leftover]:
        """What writers that are no more have left of the same track."""
        found: list[Leftover] = []
        for path in sorted(self.folder.glob("*.jsonl")):
            with suppress(OSError, msgspec.MsgspecError):
                handle = os.open(path, os.O_RDONLY)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its writer lives
                    note = self._note(path)
                    sent = note.read_bytes() if note.exists() else b""
                    # A writer may have ended in the midst of its last line.
                    lines = path.read_bytes().split(b"\n")[:-1]
                    found.append(Leftover(lines, msgspec.json.Decoder(Sent).decode_lines(sent), path))
                finally:
                    os.close(handle)
        return found

    def forget(self, path: Path) -> None:
        """What was left there is buffered here, or in the lake."""
        path.unlink(missing_ok=True)
        self._note(path).unlink(missing_ok=True)

    def _write(self, line: bytes) -> None:
        try:
            if self._handle is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.path = self.folder / f"{os.getpid()}-{secrets.token_hex(4)}.jsonl"
                self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
                fcntl.flock(self._handle, fcntl.LOCK_EX)
            os.write(self._handle, line + b"\n")
        except OSError as error:
            if not self._warned:
                self._warned = True
                log.warning("%s: entries are in memory alone until they are flushed (%s)", self.title, error)

    def _remove(self, path: Path | None, handle: int | None) -> None:
        if path is not None:
            with suppress(OSError):
                self.forget(path)
        if handle is not None:
            os.close(handle)

    def _note(self, path: Path) -> Path:
        return path.with_suffix(".sent")
