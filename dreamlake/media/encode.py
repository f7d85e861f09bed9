"""Pictures into an mp4: what the engine sends as a rollout.

``playable`` is H.264 High in 4:2:0, which every player and browser takes; colours are BT.601 and limited range, said in
the stream and what readers assume that do not look. It is lossy: chroma has half the resolution, and the quality is
that of CRF 14. ``exact`` is lossless H.264 in RGB: what is decoded is what was encoded, bit for bit, in ffmpeg, PyAV
and all that are built on them, and in few players. One thread encodes, so the same pictures always make the same bytes.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any, Literal, TypeAlias, cast, get_args

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from dreamlake.errors import UsageError

__all__ = ["ENCODINGS", "Encoding", "RolloutEncoder", "encode_rollout"]

Encoding: TypeAlias = Literal["playable", "exact"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

BT601, LIMITED = 6, 1  # ITU-T H.273: matrix, primaries and transfer of SMPTE 170M; range
GOP_SECONDS = 2
# x264's macroblock tree makes other bytes of the same pictures now and then, when several encoders run at once.
STEADY = "mbtree=0"


class RolloutEncoder:
    """One mp4 that is being written, in memory.

    Args:
        size: height and width, pixels.
        fps: frames per second.
        encoding: ``playable`` or ``exact``.

    Raises:
        UsageError: an odd height or width cannot be ``playable``.
    """

    def __init__(self, size: tuple[int, int], fps: Fraction | int, encoding: Encoding) -> None:
        height, width = size
        if encoding == "playable" and (height % 2 or width % 2):
            raise UsageError(f"{height} by {width} pixels: a playable video has an even height and width")
        self._exact = encoding == "exact"
        self._file = io.BytesIO()
        self._output = av.open(self._file, "w", format="mp4")
        codec, options = (
            ("libx264rgb", {"qp": "0"}) if self._exact else ("libx264", {"crf": "14", "x264-params": STEADY})
        )
        added = self._output.add_stream(codec, rate=fps, options={"preset": "veryfast", **options})
        self._stream = cast("VideoStream", added)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "rgb24" if self._exact else "yuv420p"
        context = self._stream.codec_context
        context.thread_count = 1
        context.gop_size = max(1, round(fps * GOP_SECONDS))
        if not self._exact:
            context.colorspace = context.color_primaries = context.color_trc = BT601
            context.color_range = LIMITED
        self._reformatter = VideoReformatter()

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Append pictures.

        Args:
            frames: (N, H, W, 3) uint8 RGB.
        """
        for pixels in frames:
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if not self._exact:
                frame = self._reformatter.reformat(
                    frame, format="yuv420p", dst_colorspace=BT601, dst_color_range=LIMITED, threads=1
                )
            self._mux(self._stream.encode(frame))

    def finish(self) -> bytes:
        """The whole file; nothing can be added any more."""
        self._mux(self._stream.encode(None))
        self._output.close()
        return self._file.getvalue()

    def _mux(self, packets: list[Packet[Any]]) -> None:
        for packet in packets:
            self._output.mux(packet)


def encode_rollout(frames: NDArray[np.uint8], fps: Fraction | int, encoding: Encoding) -> bytes:
    """The mp4 of some pictures.

    Args:
        frames: (N, H, W, 3) uint8 RGB.
        fps: frames per second.
        encoding: ``playable`` or ``exact``.
    """
    encoder = RolloutEncoder((frames.shape[1], frames.shape[2]), fps, encoding)
    encoder.add(frames)
    return encoder.finish()
