"""The fallback for codecs that no segment can carry: the file is rewritten once, and the index says so.

Pictures keep their times one by one, so frame k of the copy is frame k of the original. Sound that was stored without
loss stays without loss (FLAC).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.format import VideoFormat
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from dreamlake.media.container import open_media
from dreamlake.media.packets import TimedPackets
from dreamlake.media.scan import Scan
from dreamlake.media.split import MP4_AUDIO, STREAM_COPY

__all__ = ["needs_rewrite", "rewrite"]

GOP_SECONDS = 2
RGB, BT601, LIMITED = 0, 5, 1  # ITU-T H.273: matrix coefficients and range

# Near-lossless, and as quick as this quality goes: it is done once, on the machine that ingests.
_ALL_BITS = {"strict": "experimental", "bits_per_raw_sample": "32"}  # FLAC keeps 24 bits otherwise
_X264 = {"preset": "veryfast", "crf": "12"}


def needs_rewrite(scanned: Scan) -> bool:
    """Whether a file holds a codec that no segment can carry."""
    audio = scanned.audio_codec
    return scanned.index.header.codec not in STREAM_COPY or (audio is not None and audio not in MP4_AUDIO)


def rewrite(path: Path, scanned: Scan, target: Path, progress: Callable[[float], None]) -> str | None:
    """Write an MP4 whose codecs can be copied into segments.

    Args:
        path: the original.
        scanned: what ``scan`` found in it.
        target: the MP4 to write.
        progress: told how much is done, from 0 to 1.

    Returns:
        The original video codec when the pictures were encoded anew, None when they were copied.
    """
    codec = scanned.index.header.codec
    total = len(scanned.packet_bytes)
    with open_media(path) as source, av.open(str(target), "w", "mp4") as output:
        packets = TimedPackets(source, path.name, scanned)
        video, sound = packets.video, packets.audio
        tracks: dict[Any, _Track] = {
            video: _Copy(output, video) if codec in STREAM_COPY else _Pictures(output, video, scanned)
        }
        if sound is not None:
            copied = sound.codec_context.codec.canonical_name in MP4_AUDIO
            tracks[sound] = _Copy(output, sound) if copied else _Sound(output, sound)
        done = 0
        for packet in packets.take(total):
            done += packet.stream is video
            for written in tracks[packet.stream].take(packet):
                output.mux(written)
            progress(done / total)
        for track in tracks.values():
            for written in track.take(None):
                output.mux(written)
    return None if codec in STREAM_COPY else codec


class _Track(ABC):
    """One stream of the file on its way into the new one: what to write for each packet, and for None at its end."""

    @abstractmethod
    def take(self, packet: Packet[Any] | None) -> Iterator[Packet[Any]]: ...


class _Copy(_Track):
    def __init__(self, output: OutputContainer, source: Stream) -> None:
        self._stream = output.add_stream_from_template(source, opaque=True)

    def take(self, packet: Packet[Any] | None) -> Iterator[Packet[Any]]:
        if packet is not None:
            packet.stream = self._stream
            yield packet


class _Pictures(_Track):
    def __init__(self, output: OutputContainer, source: VideoStream, scanned: Scan) -> None:
        rate = source.average_rate or source.guessed_rate or 25
        self._decoder, self._time_base = source.codec_context, source.time_base
        self._stream: VideoStream = output.add_stream("libx264", rate=rate, options=_X264)
        size = (source.codec_context.width, source.codec_context.height)
        self._format = _pixel_format(source.codec_context.pix_fmt or "", size)
        context = self._stream.codec_context
        context.width, context.height = size
        context.pix_fmt = self._format
        self._stream.set_display_rotation(-scanned.index.header.rotation)  # PyAV counts the other way round
        self._colours: dict[str, Any] = {}
        context.colorspace, context.color_range = source.codec_context.colorspace, source.codec_context.color_range
        if context.colorspace == RGB:
            context.colorspace, context.color_range = BT601, LIMITED
            self._colours = {"dst_colorspace": BT601, "dst_color_range": LIMITED}
        context.gop_size = max(1, round(rate * GOP_SECONDS))
        if source.time_base:
            context.time_base = source.time_base
        self._reformatter = VideoReformatter()

    def take(self, packet: Packet[Any] | None) -> Iterator[Packet[Any]]:
        for picture in self._decoder.decode(packet):
            if picture.interlaced_frame and not self._stream.codec_context.is_open:
                # Colours of an interlaced picture are interpolated within its fields.
                self._stream.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            frame = self._reformatter.reformat(picture, format=self._format, threads=1, **self._colours)
            frame.pts, frame.time_base = picture.pts, self._time_base
            frame.pict_type = PictureType.NONE  # the encoder places its own key frames
            yield from self._stream.encode(frame)
        if packet is None:
            yield from self._stream.encode(None)


class _Sound(_Track):
    def __init__(self, output: OutputContainer, source: AudioStream) -> None:
        self._decoder = source.codec_context
        lossless = self._decoder.name.startswith("pcm_")
        self._stream: AudioStream = output.add_stream(
            "flac" if lossless else "aac",
            rate=self._decoder.sample_rate,
            layout=self._decoder.layout,
            options=_ALL_BITS if self._decoder.name.startswith("pcm_s32") else {},
        )
        encoder = self._stream.codec_context
        if lossless:
            encoder.format = "s16" if self._decoder.format.bytes <= 2 else "s32"
        encoder.open()
        self._resampler = AudioResampler(
            encoder.format, self._decoder.layout, self._decoder.sample_rate, frame_size=encoder.frame_size or 4096
        )

    def take(self, packet: Packet[Any] | None) -> Iterator[Packet[Any]]:
        sounds = self._decoder.decode(packet)
        for sound in [*sounds, None] if packet is None else sounds:
            for piece in self._resampler.resample(sound):
                yield from self._stream.encode(piece)
        if packet is None:
            yield from self._stream.encode(None)


def _pixel_format(original: str, size: tuple[int, int]) -> str:
    """The H.264 pixel format that keeps the original's colour detail; 8 bits, because few decoders take more."""
    width, height = size
    form = VideoFormat(original or "yuv420p")
    # Full range keeps its name; and where chroma has half the samples, sizes have to be even.
    yuv = "yuvj" if original.startswith("yuvj") else "yuv"
    grey = len(form.components) < 3 and not form.has_palette
    halved = grey or form.chroma_width(8) < 8, grey or form.chroma_height(8) < 8
    if form.is_rgb or form.has_palette or not halved[0] or width % 2:
        return f"{yuv}444p"
    return f"{yuv}420p" if halved[1] and height % 2 == 0 else f"{yuv}422p"
