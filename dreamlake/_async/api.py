"""The functions that users call first: ``load_video``, ``load`` and ``download``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dreamlake._async._runtime import close_clients, offload
from dreamlake._async.asset import locate, meant_in_lake
from dreamlake._async.kinds import asset_of
from dreamlake._async.lake import AsyncLake
from dreamlake._async.sources import AsyncFileSource, AsyncLakeSource, AsyncSource
from dreamlake._async.trackkinds import load_track
from dreamlake._async.vectors import flush_all
from dreamlake._async.video import AsyncVideo
from dreamlake.config import current_lake, lake_at
from dreamlake.core.ids import is_object_id, resource_id
from dreamlake.core.kinds import LABEL_TRACK, TEXT_TRACK, VIDEO
from dreamlake.core.targets import AssetUri, FileUri, parse_source
from dreamlake.errors import InvalidIdError
from dreamlake.media.remote import close_connections
from dreamlake.progress import Progress

__all__ = ["close", "download", "load", "load_video"]


async def load_video(source: str | os.PathLike[str]) -> AsyncVideo:
    """Load a video: its facts and its frame index, but no pixels yet.

    Files are read where they lie, and of remote ones no more than it takes. Of an MP4 that is what it says of its
    frames, and later the segments that are asked for; other containers are read through once.

    Args:
        source: a resource id (``v-…``), a ``bss://`` URI, ``namespace@space:episode//path`` (the newest video at that
            path of the lake), a path, or the URL of a file: ``file://``, ``https://``, ``http://`` or
            ``s3://bucket/key``, with the credentials and the endpoint that AWS's own tools would use. A path of a file
            that exists means the file. Inside a Prefix any other path means the video that is called so below it,
            unless it begins with a dot or ``~``, or is a ``pathlib.Path``.

    Returns:
        The video; if the lake is still processing it, once that is done.

    Raises:
        InvalidIdError: malformed, or the id of something else.
        NotFoundError: the lake has no such video.
        SourceError: a file that cannot be read as video, or not at all.
        AccessError: the host of a file does not let us read it.
        MissingExtraError: ``s3://`` without the extra ``s3``.
        ProcessingError: the lake could not process the video.
        LakeUnreachableError: no lake answers.

    Example:
        >>> video = await adl.load_video("v-BV1bW411n7fY9x01")
        >>> video = await adl.load_video("bss://localhost:10234/videos/69e7264a")
        >>> video = await adl.load_video("alice@robotics:run-042//camera/front/run01.mp4")
        >>> video = await adl.load_video("s3://bucket/run-042/front.mp4")
    """
    place = await meant_in_lake(source)
    if place is not None:
        lake = AsyncLake(current_lake())
        found = await lake.find(VIDEO, place.space, place.folder)
        return await AsyncVideo(AsyncLakeSource.of(lake, found.bss_id)).load()
    target = parse_source(os.fspath(source))
    if isinstance(target, AssetUri):
        if target.kind is not VIDEO:
            text = resource_id(target.kind, target.object_id)
            raise InvalidIdError(f"{text!r} is the id of {target.kind.phrase}, and a video is wanted here")
        lake = AsyncLake(current_lake() if target.host is None else lake_at(target.host))
        whole = is_object_id(target.object_id)
        object_id = target.object_id if whole else (await lake.video(target.object_id)).id
        return await AsyncVideo(AsyncLakeSource.of(lake, object_id)).load()
    location = _absolute(target.location) if target.scheme == "file" else target.location
    key = AsyncFileSource(location).key
    known = AsyncSource.find(key)
    if isinstance(known, AsyncFileSource) and not await known.is_current():
        AsyncSource.forget(key)  # the file was written anew since
    return await AsyncVideo(AsyncSource.find(key)).load()


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


async def load(source: str) -> Any:
    """Load whatever a resource id, a URI or a path names.

    Args:
        source: as of ``load_video``, and of any kind. Files outside of a lake are read as videos.

    Returns:
        A Video, an Audio, an Image, a TextTrack or a LabelTrack; if the lake is still processing it, once that is done.

    Raises:
        UsageError: the id of a kind that cannot be loaded yet. Otherwise as ``load_video``.

    Example:
        >>> video = await adl.load("v-BV1bW411n7fY9x01")
        >>> audio = await adl.load("a-3fHj7kLm0pQs5uXw")
        >>> track = await adl.load("tt-3fHj7kLm0pQs5uXw")
        >>> image = await adl.load("alice@robotics:run-042//camera/front/0001.png")
    """
    if await meant_in_lake(source) is None and isinstance(parse_source(source), FileUri):
        return await load_video(source)
    asset = await locate(source)
    if asset.kind_info in (LABEL_TRACK, TEXT_TRACK):
        return await load_track(source)
    return await asset_of(asset.lake, asset.kind_info, asset.object_id, asset.filename).load()


async def download(source: str, to: str | os.PathLike[str] | None = None, *, progress: Progress = None) -> Path:
    """Fetch the original bytes of an asset into a file. Run again after any failure: it goes on where it ended.

    Args:
        source: a resource id, a ``bss://`` URI, or ``namespace@space:episode//path`` (the newest asset at that path);
            inside a Prefix also a path below it.
        to: the file, or a folder for a file of the asset's own name; None for the current folder. The file is there
            when all of it is, and replaces one that was there.
        progress: as of ``upload``.

    Returns:
        The path of the file.

    Raises:
        UsageError: text that names no asset.
        NotFoundError: there is no such asset.
        IntegrityError: the bytes that came are not those that were uploaded.
        LakeUnreachableError: no lake answers; what came is kept beside the file.

    Example:
        >>> await adl.download("alice@robotics//camera/front/run01.mp4", "./videos/")
    """
    asset = await locate(source)
    return await asset.download(to, progress=progress)


async def close() -> None:
    """Close connections and embedded lakes; the next call opens them again. Nothing need be closed at exit.

    What was added to vector indexes is committed before that.
    """
    await flush_all()
    await close_clients()
    await offload(close_connections)
    try:
        from dreamlake.server import embedded
    except ImportError:
        return  # without the extra there is none
    await offload(embedded.close_lakes)
