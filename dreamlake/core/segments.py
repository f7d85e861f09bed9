"""Where a video is cut: only at key frames, about 2 to 4 seconds and at most 8 MB a segment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_BYTES", "MAX_SECONDS", "TARGET_SECONDS", "decode_times", "plan_segments"]

TARGET_SECONDS = 2.0
MAX_SECONDS = 4.0
MAX_BYTES = 8_000_000


def plan_segments(
    keys: NDArray[np.int64], starts: NDArray[np.float64], end: float, packet_bytes: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Group whole GOPs into segments.

    A GOP longer or larger than the limits is a segment of its own, because a cut elsewhere could not be decoded.

    Args:
        keys: (K,) packet numbers at which a cut is possible, increasing; the first is 0.
        starts: (K,) seconds at which each of them is shown.
        end: seconds at which the video ends.
        packet_bytes: (P,) the size of every packet.

    Returns:
        (S + 1,) the first packet of each segment, and P.
    """
    total = np.concatenate([[0], np.cumsum(packet_bytes)])
    bounds = np.append(keys, len(packet_bytes))
    times = np.append(starts, end)
    cuts = [0]
    first = 0  # GOP that begins the segment in hand
    for gop in range(1, len(keys)):
        seconds = times[gop] - times[first]
        with_this = times[gop + 1] - times[first]
        size_with_this = total[bounds[gop + 1]] - total[bounds[first]]
        if seconds >= TARGET_SECONDS or with_this > MAX_SECONDS or size_with_this > MAX_BYTES:
            cuts.append(int(bounds[gop]))
            first = gop
    return np.array([*cuts, len(packet_bytes)], np.int64)


def decode_times(pts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Decoding times for packets whose container has none, or wrong ones: increasing, and never after the pts.

    Args:
        pts: (P,) presentation times in decode order.

    Returns:
        (P,) times in the same unit; the first may be below the first pts by the depth of the reordering.
    """
    steps = np.arange(len(pts))
    # Equal times are spread by a tick each, because muxers want them strictly increasing.
    dts = np.maximum.accumulate(np.sort(pts) - steps) + steps
    return dts - max(0, int((dts - pts).max(initial=0)))
