"""Making an entry of a track: from what ``add`` is given to a line of JSON as seed 3 has it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from dreamlake.core.tracks import FRAME_LIMIT, MAX_LINE, TIME_LIMIT
from dreamlake.errors import UsageError

__all__ = ["make_entry"]

_RESERVED = frozenset({"ts", "dt", "fs", "fe"})


def make_entry(fields: dict[str, Any], *, st: Any, et: Any, sf: Any, ef: Any) -> bytes:
    """The line of an entry.

    Args:
        fields: all that it says but its times and frames.
        st: when it begins, seconds.
        et: when it ends.
        sf: its first frame, or None.
        ef: its last frame, or None.

    Raises:
        UsageError: times or frames that cannot be, or a field that JSON cannot say.
    """
    if taken := _RESERVED & fields.keys():
        raise UsageError(f"{min(taken)} is how times are stored: say st= and et=, sf= and ef=")
    begin, end = _seconds("st", st), _seconds("et", et)
    if end < begin:
        raise UsageError(f"an entry ends at et={et} before it begins at st={st}")
    first, last = _frame("sf", sf), _frame("ef", ef)
    if first is not None and last is not None and last < first:
        raise UsageError(f"an entry's last frame ef={ef} is before its first frame sf={sf}")
    frames = {name: value for name, value in (("fs", first), ("fe", last)) if value is not None}
    entry = {"ts": begin, "dt": _lasting(begin, end), **frames, **fields}
    try:
        # NaN would come back as nothing at all, and is refused by every strict reader of JSON.
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"an entry cannot be said in JSON: {error}") from None
    if len(line) > MAX_LINE:
        raise UsageError(f"an entry takes {len(line)} bytes, and {MAX_LINE // 1024**2} MiB is the most")
    return line


def _lasting(begin: float, end: float) -> float:
    """How long it lasts: a short number whose sum with the beginning is the end, if there is one."""
    short = round(end - begin, 9)
    return short if begin + short == end else end - begin


def _seconds(name: str, value: Any) -> float:
    if value is None:
        raise UsageError(f"{name}= is missing: when an entry begins and ends is said by st= and et=, or by source=")
    if isinstance(value, bool | str) or not isinstance(value, int | float | np.number):
        raise UsageError(f"{name}={value!r} is no number of seconds")
    seconds = float(value)
    if not math.isfinite(seconds) or abs(seconds) > TIME_LIMIT:
        raise UsageError(f"{name}={value!r} is no time of a recording, in seconds")
    return seconds


def _frame(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < FRAME_LIMIT:
        raise UsageError(f"{name}={value!r} is not the number of a frame")
    return int(value)


def _plain(value: Any) -> Any:
    """What numpy and torch hold, as JSON has it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no number, text, list or dictionary")
