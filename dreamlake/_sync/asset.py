# Generated from dreamlake/_async/asset.py by scripts/unasync.py. Edit that file, then run it.
"""What every asset of a lake has, whatever its kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dreamlake._sync._runtime import sleep
from dreamlake._sync.lake import Lake
from dreamlake.core.events import UploadEvent
from dreamlake.core.ids import resource_id
from dreamlake.core.kinds import Kind
from dreamlake.core.targets import bss_uri
from dreamlake.errors import ProcessingError
from dreamlake.progress import Progress, upload_progress

__all__ = ["Asset", "ready"]

FIRST_POLL = 0.02  # seconds; most files are ready within a second
LAST_POLL = 1.0


class Asset:
    """An asset of a lake.

    Args:
        lake: that has it.
        kind: of the asset.
        object_id: its ObjectId.
    """

    __slots__ = ("_kind", "_lake", "_object_id")

    def __init__(self, lake: Lake, kind: Kind, object_id: str) -> None:
        self._lake = lake
        self._kind = kind
        self._object_id = object_id

    @property
    def id(self) -> str:
        """The resource id, such as ``lt-BV1bW411n7fY9x01``."""
        return resource_id(self._kind, self._object_id)

    @property
    def uri(self) -> str:
        """The URI, such as ``bss://localhost:10234/labels/{id}``."""
        return bss_uri(self._lake.address.host, self._kind, self._object_id)

    @property
    def kind(self) -> str:
        """``video``, ``audio``, ``image``, ``label-track`` or ``text-track``."""
        return self._kind.name

    def metadata(self) -> Any:
        """What the lake knows of it: name, status, sha256, size in bytes, and more by its kind."""
        return self._lake.asset(self._kind, self._object_id)

    def download(self, to: str | os.PathLike[str] | None = None, *, progress: Progress = None) -> Path:
        """Fetch the original bytes into a file, as ``download`` does.

        Args:
            to: the file, or a folder for a file of the asset's own name; None for the current folder.
            progress: as of ``upload``.

        Returns:
            The path of the file.
        """
        from dreamlake._sync.download import download_asset

        return download_asset(self._lake, self._kind, self._object_id, to, progress)

    def __repr__(self) -> str:
        return f"<{self._kind.name} {self.id} {self.uri!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asset) and self.uri == other.uri

    def __hash__(self) -> int:
        return hash(self.uri)


def ready(lake: Lake, kind: Kind, object_id: str, progress: Progress = None) -> Any:
    """Wait until the lake has processed an asset.

    Args:
        lake: that has it.
        kind: of the asset.
        object_id: its ObjectId.
        progress: as of ``upload``.

    Returns:
        Its metadata.

    Raises:
        ProcessingError: the lake could not process it.
    """
    meta = lake.asset(kind, object_id)
    if meta.status == "uploaded":  # its uploader ended before it could start the processing
        lake.trigger_by_id(kind, object_id)
    pause = FIRST_POLL
    with upload_progress(progress, meta.name) as report:
        while meta.status in ("uploaded", "processing"):
            report(UploadEvent("process", meta.progress or 0.0, 1.0))
            sleep(pause)
            pause = min(pause * 1.5, LAST_POLL)
            meta = lake.asset(kind, object_id)
        if meta.status == "ready":
            report(UploadEvent("process", 1.0, 1.0))
    if meta.status == "failed":
        raise ProcessingError(f"{meta.name} ({resource_id(kind, object_id)}): {meta.error}")
    return meta
