"""audio-process: what there is to say of an uploaded recording (seed 2, "Audio Process")."""

from __future__ import annotations

import time
from collections.abc import Callable

from anyio import to_thread

from dreamlake.media.audio import probe_audio
from dreamlake.server.sidecar import Asset, update_meta
from dreamlake.server.storage import Storage

__all__ = ["audio_process"]


async def audio_process(storage: Storage, asset: Asset, report: Callable[[float], None]) -> None:  # noqa: ARG001 (lambdas have one signature)
    """Process one recording.

    Args:
        storage: that holds the staged file, and takes the results.
        asset: the recording.
        report: told how much is done, from 0 to 1.

    Raises:
        MediaError: the file is not a recording.
    """
    async with storage.local_file(asset.staging) as path:
        facts = await to_thread.run_sync(probe_audio, path, asset.filename)
    await update_meta(
        storage,
        asset,
        time.time(),
        "ready",
        duration=facts.duration,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        codec=facts.codec,
        error=None,
    )
