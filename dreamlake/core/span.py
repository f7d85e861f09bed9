"""Which samples an int, a float or a slice names.

``float`` means seconds, ``int`` means a sample, both relative to the clip in hand, as for videos (seed 1, "Indexing").
A time is the sample that begins nearest to it, so slices that meet at a time leave out no sample and share none.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dreamlake.core.numbers import number_of, type_name
from dreamlake.errors import FrameIndexError, UsageError

__all__ = ["Span", "at_time", "check_rate", "sample_type", "whole_number"]

MAX_RATE = 1_000_000  # Hz
DTYPES = ("float32", "float64", "int16", "int32")
HOW = "sound is indexed by a sample (int), a time (float) or a slice of either"


@dataclass(frozen=True)
class Span:
    """Samples that follow each other: the numbers of the first, and of the one after the last."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def select(self, key: Any, rate: int) -> Span:
        """What ``clip[key]`` names.

        Args:
            key: an int (sample), a float (seconds), or a slice of either; relative to this span. Negative numbers
                count from the end.
            rate: samples a second.

        Raises:
            FrameIndexError: an index outside of the span; slices are clamped instead.
            UsageError: not a number, not finite, with a step, or seconds and samples in one key.
        """
        if isinstance(key, slice):
            return self._slice(key, rate)
        index = _number(key)
        if index is None:
            raise UsageError(f"{HOW}, not None")
        at = at_time(index, rate) if isinstance(index, float) else index
        if not -len(self) <= at < len(self):
            what = f"{index} s" if isinstance(index, float) else f"sample {index}"
            raise FrameIndexError(f"{what} is outside of a clip of {len(self)} samples ({len(self) / rate:.6g} s)")
        at += self.start if at >= 0 else self.stop
        return Span(at, at + 1)

    def _slice(self, key: slice, rate: int) -> Span:
        bounds: list[Any] = [_number(bound) for bound in (key.start, key.stop)]
        if key.step is not None and _number(key.step) != 1:
            raise UsageError("sound is sliced without a step; numpy(rate=...) resamples it")
        if {type(bound) for bound in bounds if bound is not None} == {int, float}:
            raise UsageError("a slice is in seconds or in samples, not in both: write 2.0 instead of 2 for seconds")
        start, stop = (at_time(bound, rate) if isinstance(bound, float) else bound for bound in bounds)
        first, last, _ = slice(start, stop).indices(len(self))
        return Span(self.start + first, self.start + max(first, last))


def at_time(seconds: float, rate: int) -> int:
    """The number of the sample that begins nearest to a time, in seconds from the sample 0."""
    return math.floor(seconds * rate + 0.5)


def check_rate(rate: Any) -> int | None:
    """The sample rate that is asked for; None for the recording's own.

    Raises:
        UsageError: not a whole number of Hz, or none that sound comes in.
    """
    if rate is None:
        return None
    number = whole_number(rate, "a sample rate")
    if not 1 <= number <= MAX_RATE:
        raise UsageError(f"a sample rate is between 1 and {MAX_RATE} Hz, not {rate!r}")
    return number


def sample_type(dtype: Any) -> str:
    """The name of a type that samples come in, numpy's or torch's.

    Raises:
        UsageError: none of them.
    """
    return type_name(dtype, DTYPES, "sound comes as")


def whole_number(value: Any, what: str) -> int:
    """A whole number above 0 of any type of number.

    Raises:
        UsageError: it is none.
    """
    with suppress(UsageError, OverflowError):
        number = _number(value)
        if number is not None and number > 0 and number == int(number):
            return int(number)
    raise UsageError(f"{what} is a whole number above 0, not {value!r}")


def _number(value: Any) -> int | float | None:
    return number_of(value, "sample", HOW)
