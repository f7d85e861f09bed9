"""label-process and text-process: what there is to say of an uploaded track (seed 3)."""

from __future__ import annotations

import time
from collections.abc import Callable

from anyio import to_thread

from dreamlake.media.tracks import summarize_track
from dreamlake.server.sidecar import Asset, update_meta
from dreamlake.server.storage import Storage

__all__ = ["track_process"]


async def track_process(storage: Storage, asset: Asset, report: Callable[[float], None]) -> None:
    """Process one label track or text track.

    Args:
        storage: that holds the staged file, and takes the results.
        asset: the track.
        report: told how much is done, from 0 to 1.

    Raises:
        MediaError: the file is not a track of its kind.
    """
    async with storage.local_file(asset.staging) as path:
        summary = await to_thread.run_sync(summarize_track, path, asset.kind_info, asset.filename, report)
    await update_meta(
        storage,
        asset,
        time.time(),
        "ready",
        format=summary.format,
        entry_count=summary.entries,
        start_time=summary.start,
        end_time=summary.end,
        start_frame=summary.start_frame,
        end_frame=summary.end_frame,
        fields=sorted(summary.fields),
        error=None,
    )
