"""How pictures are wanted: their size, the type of a sample, and the order of the axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dreamlake.core.numbers import type_name
from dreamlake.errors import UsageError

__all__ = [
    "AS_STORED",
    "Layout",
    "PixelFormat",
    "Size",
    "arrange",
    "check_batch_size",
    "check_layout",
    "pixel_format",
    "spread",
]

Size: TypeAlias = tuple[int, int]
Layout: TypeAlias = Literal["NHWC", "NCHW"]

MAX_SIDE = 32_768  # pixels


@dataclass(frozen=True)
class PixelFormat:
    """What a decoded picture is turned into.

    Attributes:
        size: height and width in pixels; None as displayed.
        dtype: ``uint8``; ``uint16``, in which videos of 10 and more bits keep them, scaled to 0 … 65535; ``float16``
            or ``float32`` from 0.0 to 1.0.
    """

    size: Size | None = None
    dtype: str = "uint8"

    @property
    def deep(self) -> bool:
        """Whether eight bits for a sample are not enough."""
        return self.dtype != "uint8"


AS_STORED = PixelFormat()
DTYPES = ("uint8", "uint16", "float16", "float32")


def pixel_format(size: Sequence[int] | None, dtype: DTypeLike | Any) -> PixelFormat:
    """Check what a user asks for.

    Args:
        size: height and width in pixels, or None.
        dtype: numpy's or torch's, or its name.

    Raises:
        UsageError: not a size, or no type that pictures come in.
    """
    if size is None and dtype is np.uint8:
        return AS_STORED
    name = type_name(dtype, DTYPES, "pictures come as")
    if size is None:
        return PixelFormat(None, name)
    try:
        height, width = (int(side) for side in size if side == int(side))
    except (OverflowError, TypeError, ValueError):
        raise UsageError(f"a size is (height, width) in pixels, such as (224, 224), not {size!r}") from None
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise UsageError(f"a picture cannot be {height} pixels high and {width} wide")
    return PixelFormat((height, width), name)


def check_layout(layout: str | None) -> Layout | None:
    """The layout, if it is one.

    Raises:
        UsageError: it is none.
    """
    if layout not in (None, "NHWC", "NCHW"):
        raise UsageError(f'a layout is "NHWC" (height, width, channels) or "NCHW" (channels first), not {layout!r}')
    return cast("Layout | None", layout)


def check_batch_size(batch_size: int | None) -> None:
    """Make sure that a batch holds something.

    Raises:
        UsageError: not a whole number above 0.
    """
    whole = isinstance(batch_size, int | np.integer) and not isinstance(batch_size, bool)
    if batch_size is not None and not (whole and batch_size > 0):
        raise UsageError(f"a batch holds a whole number of at least one, not {batch_size!r}")


def arrange(pixels: Any, layout: Layout) -> Any:
    """An array or tensor that ends in (H, W, C) as a view that ends as the layout says."""
    if layout == "NHWC":
        return pixels
    axes = tuple(range(pixels.ndim - 3)) + tuple(pixels.ndim - 3 + axis for axis in (2, 0, 1))
    return pixels.transpose(axes) if isinstance(pixels, np.ndarray) else pixels.permute(axes)


def spread(pixels: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """The reverse of ``arrange``: a view that ends in (H, W, C)."""
    return pixels if layout == "NHWC" else np.moveaxis(pixels, -3, -1)
