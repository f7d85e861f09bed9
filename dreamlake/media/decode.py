"""From packets to pictures: decoders that are kept, and fed just what a run needs."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from av.codec.context import CodecContext, ThreadType
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from dreamlake.core.decodeplan import Run
from dreamlake.core.frameindex import FrameIndex, IndexHeader
from dreamlake.errors import MediaError
from dreamlake.media.container import media_errors
from dreamlake.media.stored import StoredPackets

__all__ = ["Decoder", "decode_run"]

Pixels = NDArray[np.uint8]
IDLE_DECODERS = 8
DECODERS = {"av1": "libdav1d"}  # where the decoder is not called like its codec


class Decoder:
    """One decoder and one scaler, both kept: a new scaler for every frame costs a third of the speed.

    It runs on the thread that calls it. Runs on several cores use a decoder each, which is faster than the threads
    of one decoder.
    """

    def __init__(self, header: IndexHeader, extradata: bytes | None) -> None:
        self._context = cast("VideoCodecContext", CodecContext.create(DECODERS.get(header.codec, header.codec), "r"))
        self._context.thread_count = 1
        self._context.thread_type = ThreadType.NONE
        self._context.width, self._context.height = header.width, header.height
        if header.pix_fmt:
            self._context.pix_fmt = header.pix_fmt
        if extradata:
            self._context.extradata = extradata
        # A container may know colours that the packets do not carry; what they do carry wins.
        self._context.colorspace = header.color_space
        self._context.color_range = header.color_range
        self._reformatter = VideoReformatter()

    def pictures(self, packets: Iterator[Packet[Any]]) -> Iterator[VideoFrame]:
        """Decode packets from a key packet on; afterwards the decoder is ready for other packets."""
        try:
            with media_errors("segment"):
                for packet in packets:
                    yield from self._context.decode(packet)
                yield from self._context.decode(None)
        finally:
            self._context.flush_buffers()

    def pixels(self, picture: VideoFrame, rotation: int) -> Pixels:
        """The picture as (H, W, 3) uint8 RGB, turned clockwise by ``rotation`` degrees as it is displayed."""
        rgb = self._reformatter.reformat(picture, format="rgb24", threads=1)
        plane = rgb.planes[0]
        pixels: Pixels = np.ndarray(
            (rgb.height, rgb.width, 3), np.uint8, cast("Any", plane), strides=(plane.line_size, 3, 1)
        )
        return np.rot90(pixels, -rotation // 90) if rotation else pixels


class _Pool:
    """Idle decoders, so that a random frame does not pay for making one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[Hashable, list[Decoder]] = OrderedDict()
        self._count = 0

    @contextmanager
    def lend(self, header: IndexHeader, extradata: bytes | None, changing: bool) -> Iterator[Decoder]:
        own = object() if changing else None  # nobody else finds this decoder
        key = (header.codec, extradata, header.color_space, header.color_range, header.width, header.height, own)
        with self._lock:
            idle = self._idle.get(key)
            decoder = idle.pop() if idle else None
            self._count -= decoder is not None
        decoder = decoder or Decoder(header, extradata)
        yield decoder  # one that failed is not taken back
        with self._lock:
            self._idle.setdefault(key, []).append(decoder)
            self._idle.move_to_end(key)
            self._count += 1
            while self._count > IDLE_DECODERS:
                oldest = next(iter(self._idle))
                if self._idle[oldest]:
                    self._idle[oldest].pop()
                    self._count -= 1
                else:
                    del self._idle[oldest]


_pool = _Pool()


def _forget_decoders() -> None:
    global _pool
    _pool = _Pool()  # a forked child must not share a lock or a decoder with its parent


os.register_at_fork(after_in_child=_forget_decoders)


def decode_run(index: FrameIndex, run: Run, segments: Sequence[StoredPackets]) -> Iterator[tuple[int, Pixels]]:
    """Decode one run.

    Args:
        index: of the video.
        run: what to decode.
        segments: the packets of ``run.segments``, in that order.

    Yields:
        Frame number and its (H, W, 3) uint8 RGB pixels, valid until the next one is asked for.

    Raises:
        MediaError: a wanted frame did not come out of the decoder.
    """
    wanted = set(run.frames.tolist())
    changing = any(segment.changing for segment in segments)
    with _pool.lend(index.header, segments[0].extradata, changing) as decoder:
        for picture in decoder.pictures(_packets(run, segments)):
            number = picture.pts
            if number is not None and number in wanted:
                wanted.remove(number)
                if (picture.width, picture.height) != (index.header.width, index.header.height):
                    raise MediaError(f"frame {number} is {picture.width}x{picture.height}: the size changes on the way")
                yield number, decoder.pixels(picture, index.header.rotation)
    if wanted:
        raise MediaError(f"frame {min(wanted)} could not be decoded (and {len(wanted) - 1} more)")


def _packets(run: Run, segments: Sequence[StoredPackets]) -> Iterator[Packet[Any]]:
    """The packets that a run feeds, out of the segments that hold them."""
    for segment in segments:
        numbers = run.packets - segment.first
        for number in numbers[(numbers >= 0) & (numbers < len(segment.packets))]:
            yield segment.packets[number]
