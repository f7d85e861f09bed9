"""One decoder with its scaler: packets go in, pictures come out, and become arrays."""

from __future__ import annotations

import os
from typing import Any, cast
from weakref import WeakSet

import numpy as np
from av.codec.context import CodecContext, ThreadType
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from dreamlake.core.frameindex import IndexHeader
from dreamlake.core.pixels import AS_STORED, PixelFormat
from dreamlake.errors import MediaError
from dreamlake.media.container import media_errors

__all__ = ["Decoder", "store", "stored_as"]

Pixels = NDArray[Any]

DECODERS = {"av1": "libdav1d"}  # where the decoder is not called like its codec
REFERENCES = 8  # pictures that a decoder holds on to, as a guess


class Decoder:
    """One decoder and one scaler, both kept: a new scaler for every frame costs a third of the speed.

    Args:
        header: of the video's index.
        extradata: that the decoder needs before the first packet.
        threads: how many frames are decoded side by side. Where there are several runs to decode, a decoder of one
            thread for each core is faster.
    """

    def __init__(self, header: IndexHeader, extradata: bytes | None, threads: int) -> None:
        self._context = cast("VideoCodecContext", CodecContext.create(DECODERS.get(header.codec, header.codec), "r"))
        self._context.thread_count = threads
        self._context.thread_type = ThreadType.FRAME if threads > 1 else ThreadType.NONE
        self._context.width, self._context.height = header.width, header.height
        if header.pix_fmt:
            self._context.pix_fmt = header.pix_fmt
        if header.codec_tag:
            self._context.codec_tag = header.codec_tag
        if header.bits_per_pixel:
            self._context.bits_per_coded_sample = header.bits_per_pixel
        if extradata:
            self._context.extradata = extradata
        # A container may know colours that the packets do not carry; what they do carry wins.
        self._context.colorspace = header.color_space
        self._context.color_range = header.color_range
        self._reformatter = VideoReformatter()
        if threads > 1:
            _threaded.add(self)
        self.nbytes = header.width * header.height * 3 // 2 * (REFERENCES + threads)

    def feed(self, packet: Packet[Any] | None) -> list[VideoFrame]:
        """The pictures that come out when a packet goes in; with None, all that are left.

        Raises:
            MediaError: the packet is damaged.
        """
        with media_errors("segment"):
            return self._context.decode(packet)

    def reset(self) -> None:
        """Forget all pictures: the next packet is a key packet."""
        self._context.flush_buffers()

    def pixels(self, picture: VideoFrame, rotation: int, form: PixelFormat = AS_STORED) -> Pixels:
        """The picture as it is displayed: RGB, and turned clockwise by ``rotation`` degrees.

        Returns:
            (H, W, 3) uint8, or uint16 where that is wanted, or needed for all bits of floats; memory of its own.

        Raises:
            MediaError: FFmpeg's scaler cannot do it.
        """
        height, width = form.size or (None, None)
        if rotation % 180:
            height, width = width, height
        # Floats are what the integers of the same video are, divided: of eight bits nothing is gained by sixteen.
        deep = form.dtype == "uint16" or (form.deep and max(part.bits for part in picture.format.components) > 8)
        depth = "rgb48le" if deep else "rgb24"
        try:
            rgb = self._reformatter.reformat(picture, width=width, height=height, format=depth, threads=1)
        except FFmpegError as error:
            wanted = f"scaled to {width}x{height}" if form.size else "converted to RGB"
            raise MediaError(f"a picture of {picture.width}x{picture.height} cannot be {wanted}") from error
        plane, size = rgb.planes[0], 2 if deep else 1
        pixels: Pixels = np.ndarray(
            (rgb.height, rgb.width, 3), f"<u{size}", cast("Any", plane), strides=(plane.line_size, 3 * size, size)
        )
        if rgb is picture:
            pixels = pixels.copy()  # nothing had to be converted, and the decoder may still need it
        return np.rot90(pixels, -rotation // 90) if rotation else pixels


def store(pixels: Pixels, target: Pixels) -> None:
    """Write a picture into an array of the wanted type: samples become fractions of 1 in floats."""
    if target.dtype.kind == "f":
        np.multiply(pixels, np.float32(1 / np.iinfo(pixels.dtype).max), out=target, casting="unsafe")
    else:
        np.copyto(target, pixels)


def stored_as(form: PixelFormat, pixels: Pixels) -> Pixels:
    """A picture as a contiguous array of the wanted type, copied only if need be."""
    if form.dtype in ("uint8", "uint16"):  # as it left the scaler
        return np.ascontiguousarray(pixels)
    target = np.empty(pixels.shape, form.dtype)
    store(pixels, target)
    return target


_threaded: WeakSet[Decoder] = WeakSet()
_inherited: list[Decoder] = []


def _keep_for_good() -> None:
    """A forked child has the memory of its parent's decoders and not their threads, and must never free them."""
    _inherited.extend(_threaded)
    _threaded.clear()


os.register_at_fork(after_in_child=_keep_for_good)
