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
        self._rest: NDArray[Any] | None = None  # fewer than a peak stands for
        self._half: NDArray[np.float32] | None = None  # a peak whose neighbour was not there when they became one

    def add(self, samples: NDArray[Any]) -> None:
        """The next samples, (N, C)."""
        if self._rest is not None and len(self._rest):
            samples = np.concatenate([self._rest, samples])
        if self._half is not None and len(samples) >= self._step // 2:
            half = self._step // 2
            self._keep(_pairs(np.concatenate([self._half, _blocks(samples[:half], half)])))
            self._half, samples = None, samples[half:]
        if self._half is None and (whole := len(samples) // self._step * self._step):
            self._keep(_blocks(samples[:whole], self._step))
            samples = samples[whole:]
        self._rest = samples.copy()
        if self._count > MOST:
            self._halve()

    def silence(self, count: int, like: NDArray[Any]) -> None:
        """Samples that are missing before others."""
        for begin in range(0, count, PIECE):
            self.add(np.zeros((min(PIECE, count - begin), like.shape[1]), like.dtype))

    def finish(self) -> tuple[NDArray[np.float16], int]:
        """(B, C, 2) the least and greatest of each, and for how many samples each of them stands."""
        last = [] if self._half is None else [self._half]
        if self._rest is not None and len(self._rest):
            last.append(_blocks(self._rest, len(self._rest)))
        if last:
            joint = np.concatenate(last)
            self._keep(_pairs(np.concatenate([joint, joint])[:2] if len(joint) == 1 else joint))
        with np.errstate(over="ignore"):  # what float16 cannot hold is infinite in a drawing as well
            return np.concatenate(self._done).astype(np.float16), self._step

    def _keep(self, peaks: NDArray[np.float32]) -> None:
        self._done.append(peaks)
        self._count += len(peaks)

    def _halve(self) -> None:
        peaks = np.concatenate(self._done)
        if len(peaks) % 2:
            self._half, peaks = peaks[-1:], peaks[:-1]
        halved = _pairs(peaks)
        self._step *= 2
        self._done, self._count = [halved], len(halved)


def _blocks(samples: NDArray[Any], step: int) -> NDArray[np.float32]:
    """(B, C, 2) the peaks of so many samples each."""
    # Channel by channel, because neighbours in memory are compared many at a time.
    blocks = np.ascontiguousarray(samples.T).reshape(samples.shape[1], -1, step)
    return converted(np.stack([blocks.min(axis=2).T, blocks.max(axis=2).T], axis=-1), np.float32)


def _pairs(peaks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two neighbours as one; there is an even number of them."""
    low, high = peaks[..., 0], peaks[..., 1]
    return np.stack([np.minimum(low[::2], low[1::2]), np.maximum(high[::2], high[1::2])], axis=-1)
