"""What every asset of a lake has, whatever its kind."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from dreamlake._async._runtime import offload, sleep
from dreamlake._async.download import download_original
from dreamlake._async.lake import AsyncLake
from dreamlake.config import current_lake, lake_at
from dreamlake.core.events import UploadEvent
from dreamlake.core.ids import is_object_id, resource_id
from dreamlake.core.kinds import Kind, kind_named
from dreamlake.core.prefix import Place, in_prefix, resolve_asset
from dreamlake.core.targets import AssetUri, FileUri, bss_uri, is_target, parse_source
from dreamlake.errors import ProcessingError, UsageError
from dreamlake.progress import Progress, upload_progress

__all__ = ["AsyncAsset", "is_lake_path", "locate", "meant_in_lake", "ready"]

FIRST_POLL = 0.02  # seconds; most files are ready within a second
LAST_POLL = 1.0


class AsyncAsset:
    """An asset of a lake.

    Args:
        lake: that has it.
        kind: of the asset.
        object_id: its ObjectId.
        filename: what it is called where it was found; None for the name that it was uploaded under.
    """

    __slots__ = ("filename", "kind_info", "lake", "object_id")

    def __init__(self, lake: AsyncLake, kind: Kind, object_id: str, filename: str | None = None) -> None:
        self.filename = filename
        self.lake = lake
        self.kind_info = kind
        self.object_id = object_id

    @property
    def id(self) -> str:
        """The resource id, such as ``lt-BV1bW411n7fY9x01``."""
        return resource_id(self.kind_info, self.object_id)

    @property
    def uri(self) -> str:
        """The URI, such as ``bss://localhost:10234/labels/{id}``."""
        return bss_uri(self.lake.address.host, self.kind_info, self.object_id)

    @property
    def kind(self) -> str:
        """``video``, ``audio``, ``image``, ``label-track`` or ``text-track``."""
        return self.kind_info.name

    async def metadata(self) -> Any:
        """What the lake knows of it: name, status, sha256, size in bytes, and more by its kind."""
        return await self.lake.asset(self.kind_info, self.object_id)

    async def download(self, to: str | os.PathLike[str] | None = None, *, progress: Progress = None) -> Path:
        """Fetch the original bytes into a file, as ``download`` does.

        Args:
            to: the file, or a folder for a file of the asset's own name; None for the current folder.
            progress: as of ``upload``.

        Returns:
            The path of the file.
        """
        return await download_original(self.lake, self.kind_info, self.object_id, self.filename, to, progress)

    def __repr__(self) -> str:
        return f"<{self.kind_info.name} {self.id} {self.uri!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncAsset) and self.uri == other.uri

    def __hash__(self) -> int:
        return hash(self.uri)


async def locate(source: str) -> AsyncAsset:
    """The asset that a text names.

    Args:
        source: a resource id, a ``bss://`` URI, or ``namespace@space:episode//path`` (the newest asset at that path);
            inside a Prefix also a path below it.

    Raises:
        UsageError: text that names no asset of a lake.
        NotFoundError: there is no such asset.
    """
    if is_target(source) or (in_prefix() and is_lake_path(source)):
        place = resolve_asset(source)
        lake = AsyncLake(current_lake())
        found = await lake.find(None, place.space, place.folder)
        return AsyncAsset(lake, kind_named(found.kind), found.bss_id, found.filename)
    uri = parse_source(source)
    if not isinstance(uri, AssetUri):
        raise UsageError(f"{source!r} names no asset: give an id, a bss:// URI or namespace@space:episode//path")
    lake = AsyncLake(current_lake() if uri.host is None else lake_at(uri.host))
    whole = is_object_id(uri.object_id)
    return AsyncAsset(lake, uri.kind, uri.object_id if whole else (await lake.asset(uri.kind, uri.object_id)).id)


def is_lake_path(text: str) -> bool:
    """Whether a text can be a target or a path in a lake: it is no id and no URI.

    Raises:
        InvalidIdError: an id that is malformed.
    """
    return is_target(text) or ("://" not in text and isinstance(parse_source(text), FileUri))


async def meant_in_lake(source: str | os.PathLike[str]) -> Place | None:
    """Where in a lake something is to be loaded from; None for what is a file, a URI or an id.

    A file that is there is what its path means. Where none is, a target means its asset; and a path, inside a Prefix,
    the asset that is called so there, unless it begins with a dot or ``~``, or is no text but a ``Path``.
    """
    if not isinstance(source, str) or not is_lake_path(source):
        return None
    if not is_target(source) and (not in_prefix() or source.startswith((".", "~"))):
        return None
    if await offload(partial(_exists, source)):
        return None
    return resolve_asset(source)


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False  # no file can be called so


async def ready(lake: AsyncLake, kind: Kind, object_id: str, progress: Progress = None) -> Any:
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
    meta = await lake.asset(kind, object_id)
    if meta.status == "uploaded":  # its uploader ended before it could start the processing
        await lake.trigger_by_id(kind, object_id)
    pause = FIRST_POLL
    with upload_progress(progress, meta.name) as report:
        while meta.status in ("uploaded", "processing"):
            report(UploadEvent("process", meta.progress or 0.0, 1.0))
            await sleep(pause)
            pause = min(pause * 1.5, LAST_POLL)
            meta = await lake.asset(kind, object_id)
        if meta.status == "ready":
            report(UploadEvent("process", 1.0, 1.0))
    if meta.status == "failed":
        raise ProcessingError(f"{meta.name} ({resource_id(kind, object_id)}): {meta.error}")
    return meta
