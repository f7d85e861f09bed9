"""The least and greatest samples of a recording, for drawing its waveform: found on the way, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamlake.media.sound import converted

__all__ = ["PeakFinder"]

FIRST = 256  # samples of a peak, until there are too many
MOST = 8192  # peaks
PIECE = 1024**2  # samples of silence at once


class PeakFinder:
    """Takes samples one piece after the other; when there are too many peaks, neighbours become one."""

    def __init__(self) -> None:
        self._step = FIRST
        self._done: list[NDArray[np.float32]] = []
        self._count = 0
        self._rest: NDArray[Any] | None = None

    def add(self, samples: NDArray[Any]) -> None:
        """The next samples, (N, C)."""
        sound = converted(samples, "float32")
        if self._rest is not None and len(self._rest):
            sound = np.concatenate([self._rest, sound])
        whole = len(sound) // self._step * self._step
        if whole:
            blocks = sound[:whole].reshape(-1, self._step, sound.shape[1])
            self._done.append(np.stack([blocks.min(axis=1), blocks.max(axis=1)], axis=-1))
            self._count += len(blocks)
        self._rest = sound[whole:]
        if self._count > MOST:
            self._halve()

    def silence(self, count: int, channels: int) -> None:
        """Samples that are missing."""
        for begin in range(0, count, PIECE):
            self.add(np.zeros((min(PIECE, count - begin), channels), np.float32))

    def finish(self) -> tuple[NDArray[np.float16], int]:
        """(B, C, 2) the least and greatest of each, and for how many samples each of them stands."""
        if self._rest is not None and len(self._rest):
            self._done.append(np.stack([self._rest.min(axis=0), self._rest.max(axis=0)], axis=-1)[None])
        with np.errstate(over="ignore"):  # what float16 cannot hold is infinite in a drawing as well
            return np.concatenate(self._done).astype(np.float16), self._step

    def _halve(self) -> None:
        peaks = np.concatenate(self._done)
        pairs = len(peaks) // 2 * 2
        low, high = peaks[:pairs, :, 0], peaks[:pairs, :, 1]
        halved = np.stack([np.minimum(low[::2], low[1::2]), np.maximum(high[::2], high[1::2])], axis=-1)
        self._step *= 2
        self._done, self._count = [halved], len(halved)
        if pairs < len(peaks):
            # The odd one goes back, as two samples that have its peaks, to the rest that it belongs with.
            odd = peaks[pairs]
            lead = np.repeat(odd[:, :1].T, self._step // 2, axis=0)
            lead[0] = odd[:, 1]
            self._rest = lead if self._rest is None else np.concatenate([lead, self._rest])
