"""Numbers and their types as users say them: Python's own, numpy's or torch's."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import numpy as np

from dreamlake.errors import UsageError

__all__ = ["number_of", "type_name"]


def number_of(value: Any, unit: str, how: str) -> int | float | None:
    """An int, a float or None from any kind of number; numpy's and torch's scalars included.

    Args:
        value: what a user indexes by.
        unit: what an int counts, such as ``frame``.
        how: what may be said instead, for the error.

    Raises:
        UsageError: no number, or one that is not finite.
    """
    if value is None or type(value) is int:
        return value
    if isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool"):
        raise UsageError(f"True and False are not {unit} numbers")
    if hasattr(value, "__index__"):
        with suppress(TypeError):  # torch's float scalars have the method, and refuse
            return operator.index(value)
    try:
        seconds = float(value) if hasattr(value, "__float__") else math.nan
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise UsageError(f"{how}, not {value!r}")
    return seconds


def type_name(dtype: Any, known: Collection[str], what: str) -> str:
    """The name of a type of numbers.

    Args:
        dtype: numpy's or torch's, or its name.
        known: the names that may be meant.
        what: comes in these, for the error.

    Raises:
        UsageError: none of them.
    """
    name = str(dtype).removeprefix("torch.")  # torch's types are not numpy's, and have the same names
    if name not in known:
        try:
            name = np.dtype(dtype).name
        except TypeError:
            name = str(dtype)
    if name not in known:
        raise UsageError(f"{what} {', '.join(known)}, not as {name}")
    return name
