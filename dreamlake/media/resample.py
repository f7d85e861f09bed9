"""Sound at another sample rate, piece by piece."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from dreamlake.media.sound import converted, samples_of

__all__ = ["MARGIN", "Resampling", "layout_of"]

MARGIN = 256  # samples, at the lower of the two rates, that a filter looks to either side


class Resampling:
    """From one rate to another, so that a part gives what the same part of the whole would.

    Args:
        rate: of the recording, Hz.
        wanted: Hz.
        channels: how many.
    """

    def __init__(self, rate: int, wanted: int, channels: int) -> None:
        common = gcd(rate, wanted)
        self._from, self._to = rate // common, wanted // common  # as many samples here last as long as so many there
        self._rate, self._wanted = rate, wanted
        self._layout = layout_of(channels)
        self._channels = channels
        self._resampler = AudioResampler("flt", self._layout, wanted)

    def length(self, samples: int) -> int:
        """How many samples so many become."""
        return (2 * samples * self._to + self._from) // (2 * self._from)

    def lead(self, start: int) -> int:
        """How many samples before ``start`` to begin with, of ``start`` that there are."""
        steps = -(-MARGIN * max(1, self._rate // self._wanted) // self._from)
        return min(steps, start // self._from) * self._from

    @property
    def tail(self) -> int:
        """How many samples to go on with after the end."""
        return MARGIN * max(1, self._rate // self._wanted)

    def take(self, samples: NDArray[Any] | None) -> NDArray[np.float32]:
        """(M, C) what comes out when samples go in; with None, all that is left."""
        frame = None
        if samples is not None:
            if not len(samples):
                return np.zeros((0, self._channels), np.float32)
            sound = np.ascontiguousarray(converted(samples, "float32")).reshape(1, -1)
            frame = AudioFrame.from_ndarray(sound, format="flt", layout=self._layout)
            frame.sample_rate = self._rate
        found = [samples_of(piece) for piece in self._resampler.resample(frame)]
        return np.concatenate(found) if found else np.zeros((0, self._channels), np.float32)


def layout_of(channels: int) -> str:
    """A layout of so many channels; which of them is where does not matter."""
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
