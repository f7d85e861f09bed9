"""When each frame of a video is on display, in seconds.

Time 0.0 is the start of the first displayed frame. Times are compared as float64 with a nanosecond of tolerance: below
the tick of any real time base, above the rounding of float64 at a day's length, so ``video[clip.st]`` is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SNAP", "Timeline"]

SNAP = 1e-9  # seconds


class Timeline:
    """When each displayed frame begins, and when the last one ends.

    Args:
        times: (N,) float64 seconds, increasing, the first 0.0.
        end: seconds at which the last frame ends.
    """

    def __init__(self, times: NDArray[np.float64], end: float) -> None:
        self.times = times
        self.end = end

    def __len__(self) -> int:
        return len(self.times)

    def end_of(self, frame: int) -> float:
        """When the frame leaves the display, in seconds."""
        return float(self.times[frame + 1]) if frame + 1 < len(self.times) else self.end
