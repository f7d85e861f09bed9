"""Arrays that come out of a pickle have to be loaded before they are sliced: nothing can be awaited there."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dreamlake.aio as adl
from dreamlake.errors import UsageError
from tests.clips import decode_plain


def read(data: bytes) -> tuple[bytes, int, str]:
    """In another process: every fourth frame of each clip."""
    clips = pickle.loads(data)

    async def main() -> tuple[bytes, int, str]:
        with pytest.raises(UsageError, match="load"):
            clips[:, ::4]
        await clips.load()
        return (await clips[:, ::4].numpy()).tobytes(), len(clips), repr(clips)

    return asyncio.run(main())


async def test_another_process_reads_a_pickled_array(served: str, made: Callable[[str], Path]) -> None:
    adl.connect(served)
    clips = (await adl.upload(made("seed"), prefix="/array", progress=False)).chunk(2.0)
    adl.connect()  # the array knows which lake it is of
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        pixels, length, shown = await asyncio.to_thread(workers.apply, read, (pickle.dumps(clips),))
    assert (length, shown) == (6, repr(clips))
    assert pixels == np.stack(decode_plain(made("seed"))).reshape(6, 10, 240, 360, 3)[:, ::4].tobytes()
