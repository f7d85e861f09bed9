"""What was uploaded from where: ``~/.dreamlake/uploads/manifest.db``, by which a second run skips what is done.

It only ever saves work: whether an asset is in the lake is asked of the lake, and bytes are hashed before they count.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dreamlake._async._runtime import offload
from dreamlake._async.localfile import identity
from dreamlake.config import home

__all__ = ["AsyncManifest", "Entry"]

# A file that was changed less than this before it was read may be changed again without its times telling.
RACY_SECONDS = 2.0
BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class Entry:
    """A file that was uploaded.

    Attributes:
        path: of the file.
        name: of the asset.
        kind: of the asset.
        object_id: of the asset.
        stat: of the file, from before it was read.
    """

    path: Path
    name: str
    kind: str
    object_id: str
    stat: os.stat_result


class AsyncManifest:
    """The uploads from this machine into one space.

    Args:
        place: what tells the space from all others of all lakes.
    """

    def __init__(self, place: str) -> None:
        self._path = home() / "uploads" / "manifest.db"
        self._place = place

    async def known(self, files: Sequence[tuple[Path, str, str]]) -> dict[Path, str]:
        """The ObjectIds of files that have not changed since they were uploaded.

        Args:
            files: path, name and kind of the asset of each.
        """
        return await offload(partial(self._known, files))

    async def was_checked(self, path: Path, kind: str) -> bool:
        """Whether this file, as it is now, was found to be of this kind and uploaded, to whatever place."""
        return await offload(partial(self._was_checked, path, kind))

    async def note(self, entries: Iterable[Entry]) -> None:
        """These files are in the lake."""
        await offload(partial(self._note, list(entries)))

    def _was_checked(self, path: Path, kind: str) -> bool:
        query = "SELECT 1 FROM done WHERE path = ? AND kind = ? AND identity = ? LIMIT 1"
        try:
            if not self._path.is_file():
                return False
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as database:
                found = database.execute(query, (str(path.absolute()), kind, _text(path.stat()))).fetchone()
        except (sqlite3.Error, OSError):
            return False
        return found is not None

    def _known(self, files: Sequence[tuple[Path, str, str]]) -> dict[Path, str]:
        query = "SELECT object_id, identity FROM done WHERE place = ? AND path = ? AND name = ? AND kind = ?"
        known: dict[Path, str] = {}
        try:
            if not self._path.is_file():
                return known
            with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS)) as database:
                for path, name, kind in files:
                    row = database.execute(query, (self._place, str(path.absolute()), name, kind)).fetchone()
                    with suppress(OSError):  # said when it is its turn
                        if row is not None and row[1] == _text(path.stat()):
                            known[path] = row[0]
        except (sqlite3.Error, OSError):
            self._set_aside()
        return known

    def _note(self, entries: Sequence[Entry]) -> None:
        now = time.time()
        rows = [
            (self._place, str(entry.path.absolute()), entry.name, entry.kind, entry.object_id, _text(entry.stat))
            for entry in entries
            if now - entry.stat.st_ctime > RACY_SECONDS
        ]
        try:
            with closing(self._open()) as database, database:
                database.executemany("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?, ?)", rows)
        except (sqlite3.Error, OSError):
            self._set_aside()

    def _set_aside(self) -> None:
        """It may be damaged, and only ever saves work."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS done (place TEXT, path TEXT, name TEXT, kind TEXT, object_id TEXT NOT NULL, "
            "identity TEXT NOT NULL, PRIMARY KEY (path, kind, name, place)) WITHOUT ROWID"
        )
        return database


def _text(stat: os.stat_result) -> str:
    return "/".join(map(str, identity(stat)))
