"""The reference: a decode of the original from its start with PyAV and nothing else; and measures of likeness."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest", "plain", "psnr"]


@cache  # some 100 MB, for all traps
def plain(path: Path, stream: int = 0) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """Every frame as (H, W, 3) RGB, upright, and when each is shown in seconds from the first one."""
    shown: list[NDArray[np.uint8]] = []
    times: list[float] = []
    with av.open(str(path)) as container:
        container.streams.video[stream].codec_context.thread_count = 1  # threads are dearer than such small pictures
        for frame in container.decode(video=stream):
            shown.append(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
            times.append(float((frame.dts if frame.pts is None else frame.pts) * frame.time_base))
    # An AVI's pictures come out with the times at which they were decoded: the same times in another order.
    return shown, [time - min(times) for time in sorted(times)]


def psnr(one: NDArray[np.uint8], two: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two pictures in dB."""
    error = float(np.mean((one.astype(np.float32) - two.astype(np.float32)) ** 2))
    return 10 * np.log10(255**2 / error) if error else float("inf")


def nearest(copies: list[NDArray[np.uint8]], originals: list[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """For each copy, the number of the original that it is most like."""
    one, two = (
        np.stack([picture[::2, ::2].ravel() for picture in some]).astype(np.float32) for some in (copies, originals)
    )
    distance = (one**2).sum(1)[:, None] + (two**2).sum(1)[None] - 2 * one @ two.T
    return distance.argmin(1)
