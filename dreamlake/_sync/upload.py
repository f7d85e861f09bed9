# Generated from dreamlake/_async/upload.py by scripts/unasync.py. Edit that file, then run it.
"""Upload: from a local file to an asset of the lake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dreamlake._sync.asset import ready
from dreamlake._sync.kinds import asset_of
from dreamlake._sync.uploader import Uploader
from dreamlake.core.parts import CONCURRENCY, PUT_SECONDS
from dreamlake.core.prefix import resolve_place
from dreamlake.core.targets import asset_name
from dreamlake.core.uploads import UploadOptions
from dreamlake.progress import Progress, upload_progress

__all__ = ["upload"]


def upload(
    file: str | os.PathLike[str],
    *,
    space: str | None = None,
    prefix: str | None = None,
    path: str | None = None,
    episode: str | None = None,
    kind: str | None = None,
    wait: bool = True,
    concurrency: int = CONCURRENCY,
    part_size: int | None = None,
    timeout: float = PUT_SECONDS,
    skip_bad_lines: bool = False,
    progress: Progress = None,
) -> Any:
    """Upload a file, register it, and have it processed. Run again after any failure: it resumes.

    Args:
        file: the local file; its type follows from its extension.
        space: ``space@namespace``, or a space of your own namespace. Default: the space ``default``.
        prefix: the folder it goes to, below the Prefix in force unless it is absolute.
        path: a folder below that, or the full name if it ends in the file's extension.
        episode: ``namespace@space:episode``, or the name of an episode.
        kind: what the file is, where its extension does not say it: ``video``, ``audio``, ``image``, ``label-track`` or
            ``text-track``.
        wait: wait until the lake has processed it. Otherwise what is returned is loaded when it is first used.
        concurrency: parts that are under way at once.
        part_size: bytes of a part, at least 5 MiB; None for 10 MB. Very large files have larger ones.
        timeout: seconds that the storage may take to acknowledge a part that was sent.
        skip_bad_lines: leave out lines of a track that cannot be read, and count them (``skipped_lines``, in its
            metadata). Otherwise the first of them is an error, and nothing is uploaded.
        progress: None shows a bar where somebody can see it, True always, False never; or a function that is called
            with every UploadEvent.

    Returns:
        A Video, an Audio, an Image, a TextTrack or a LabelTrack.

    Raises:
        SourceError: the file cannot be taken. Nothing was registered.
        UploadPausedError: the lake went away. What was sent is kept; the next run resumes.
        ProcessingError: the lake could not process the file.
        LakeError: the lake refused it.
        LakeUnreachableError: no lake answers.

    Example:
        >>> video = dl.upload("./video.mp4", space="robotics@alice", prefix="/2026/04/run-042/camera/front")
    """
    source = Path(file)
    place = resolve_place(space=space, prefix=prefix, path=path, episode=episode)
    uploader = Uploader(UploadOptions(concurrency, part_size, timeout, skip_bad_lines))
    found = uploader.check(source, kind)
    uploader.open(place)
    with upload_progress(progress, source.name) as report:
        sent = uploader.send(source, found, asset_name(place.folder, source.name), report)
        asset = asset_of(uploader.lake, found, sent.object_id)
        if wait:
            ready(uploader.lake, found, sent.object_id, report)
    return asset.load() if wait else asset
