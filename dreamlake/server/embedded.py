"""The embedded lakes of this process: each folder's application runs once, whoever asks for it.

Any number of processes may have the same folder open. A forked child cannot go on with its parent's: it opens its own
the first time it needs one.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

from dreamlake.server.app import LakeApp
from dreamlake.server.inprocess import InProcessApp
from dreamlake.server.settings import Settings

__all__ = ["close_lakes", "open_lake"]

_lock = threading.Lock()
_open: dict[tuple[Path, str | None, str | None], InProcessApp] = {}
_inherited: list[InProcessApp] = []


def open_lake(data: Path, storage: str | None = None, database: str | None = None) -> InProcessApp:
    """The running application of an embedded lake, started if it is not running yet.

    Args:
        data: its folder.
        storage: where its bytes are, such as ``s3://bucket/prefix``; None for the folder.
        database: the URL of its database; None for SQLite in the folder.
    """
    with _lock:
        app = _open.get((data, storage, database))
        if app is None:
            settings = Settings(data, storage=storage, database=database)
            app = _open[data, storage, database] = InProcessApp(partial(LakeApp, settings))
        return app


def close_lakes() -> None:
    """Close all embedded lakes of this process; the next use opens them again."""
    with _lock:
        lakes = list(_open.values())
        _open.clear()
    for lake in lakes:
        lake.close()


def _start_anew() -> None:
    global _lock
    _lock = threading.Lock()
    # Kept and never touched: closing an inherited database connection would disturb the parent's.
    _inherited.extend(_open.values())
    _open.clear()


os.register_at_fork(after_in_child=_start_anew)
