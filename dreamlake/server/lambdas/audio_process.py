"""audio-process: from a recording to segments, a playlist and the exact sample index (seed 2, "Audio Process").

It may be run any number of times, as ``hls_split``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from anyio import to_thread

from dreamlake.media.audio import open_audio, probe_audio
from dreamlake.media.soundsplit import SoundSplitter
from dreamlake.server.lambdas.outputs import store_sound, working_folder
from dreamlake.server.sidecar import SAMPLES, Asset, update_meta
from dreamlake.server.storage import Storage

__all__ = ["audio_process"]


async def audio_process(storage: Storage, asset: Asset, report: Callable[[float], None]) -> None:
    """Process one recording.

    Args:
        storage: that holds the staged file, and takes the results.
        asset: the recording.
        report: told how much is done, from 0 to 1.

    Raises:
        MediaError: the file is not a recording.
    """
    async with working_folder(storage, asset) as folder, storage.local_file(asset.staging) as path:
        facts = await to_thread.run_sync(probe_audio, path, asset.filename)
        length = max(facts.duration, 1e-3)
        splitter = SoundSplitter(
            partial(open_audio, path, asset.filename),
            asset.filename,
            report=lambda done: report(min(1.0, done / length)),
        )
        stream = await store_sound(storage, asset, splitter, folder)
    header = splitter.index.header
    await update_meta(
        storage,
        asset,
        time.time(),
        "ready",
        duration=header.samples / header.sample_rate,
        sample_rate=header.sample_rate,
        channels=header.channels,
        codec=header.codec,
        samples=header.samples,
        streams=[stream],
        index=SAMPLES,
        error=None,
    )
