"""What the tests of media share: files with a fault in them, and measures of likeness."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.clips import Clip, remux
from tests.priority import ordinary_priority

__all__ = ["Pictures", "remux", "write_pictures"]

Pictures = list[NDArray[np.uint8]]


@ordinary_priority()
def write_pictures(clip: Clip, path: Path, pictures: Iterable[NDArray[np.uint8]], **settings: Any) -> Path:
    """A clip of these pictures.

    Args:
        clip: its codec, pixel format, options and rate; its size is the pictures'.
        path: to write.
        pictures: (H, W, 3) RGB.
        settings: ``turn``, degrees clockwise that a player turns the pictures; others go to the codec context.
    """
    turn = settings.pop("turn", 0)
    with av.open(str(path), "w") as output:
        stream = output.add_stream(clip.codec, rate=clip.rate, options=clip.options)
        stream.pix_fmt = clip.pix_fmt
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        if turn:
            stream.set_display_rotation(-turn)  # PyAV counts the other way round
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, 1 / Fraction(clip.rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
