"""Sound on its way into segments: packets as they are, or samples as FLAC or PCM; and what a plain decode gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any, cast

import av
import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from dreamlake.core.sampleindex import INDEPENDENT, SoundType
from dreamlake.errors import MediaError
from dreamlake.media.sound import PCM, joined, samples_of
from dreamlake.media.split import muxer_options

__all__ = ["COPIED", "Copied", "Encoded", "NotCopiedError", "Piece", "PlainSound", "VideoTime"]

Samples = NDArray[Any]

COPIED = frozenset({"aac", "mp3", "flac", "alac", "opus", "vorbis"})
GAP = 0.1  # seconds: times that differ by less are only written down badly
MISSING = 0.002  # seconds: of FLAC, whose frames say what number they have, and containers that know milliseconds
PCM_BLOCK = 4096  # samples of a packet
FLAC_CHANNELS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True)
class VideoTime:
    """The time of a video, which that of its sound is counted in.

    Attributes:
        begin: of its first frame, in seconds of the file's own clock.
        seconds: from there to its end.
    """

    begin: Fraction
    seconds: float


@dataclass
class Piece:
    """A packet as it is stored, the samples that it stands for, and the number of the first."""

    data: bytes
    samples: Samples
    start: int
    raw: int = 0  # samples that come out of the decoder


class NotCopiedError(Exception):
    """The packets cannot be copied: what is stored would not be read back."""


class PlainSound:
    """A stream on its way through one decoder, from the beginning: what a plain decode gives."""

    def __init__(self, container: InputContainer, stream: AudioStream, name: str, video: VideoTime | None) -> None:
        self._container = container
        self.stream, self.name, self.video = stream, name, video
        self.context = stream.codec_context
        self.codec: str = self.context.codec.canonical_name
        self.rate = self.channels = 0
        self.layout = ""
        self.dtype: SoundType = "float32"
        self._next: int | None = None
        self._begun = 0.0

    def packets(self) -> Iterator[tuple[Packet[Any], Samples, float | None]]:
        """Every packet, the samples that it gives, and when the first of them is heard; the last gives all the rest.

        The decoder's properties are known with the first samples.
        """
        before: tuple[Packet[Any], Samples, float | None] | None = None
        damaged = 0
        for number, packet in enumerate(self._container.demux(self.stream)):
            if not packet.size:
                continue
            try:
                frames = self.context.decode(packet)
                damaged = 0
            except av.error.FFmpegError as error:
                damaged += 1
                if self.codec.startswith(INDEPENDENT) or damaged > self.rate:
                    raise MediaError(f"{self.name}: its sound is damaged at packet {number}") from error
                frames = []  # as any player does
            if before is not None:
                yield before
            before = packet, self._joined(frames), _time(frames)
        if before is not None:
            packet, samples, time = before
            rest = self.context.decode(None)
            time = _time(rest) if time is None else time
            yield packet, joined([samples, self._joined(rest)], self.dtype, self.channels or 1), time

    def _joined(self, frames: list[AudioFrame]) -> Samples:
        found = [samples_of(frame) for frame in frames]
        for frame, samples in zip(frames, found, strict=True):
            if not self.rate:
                self.rate, self.channels = frame.sample_rate, samples.shape[1]
                self.layout = frame.layout.name
                self.dtype = samples.dtype.name  # type: ignore[assignment]  # (one of the four that samples_of gives)
            if (frame.sample_rate, samples.shape[1], samples.dtype.name) != (self.rate, self.channels, self.dtype):
                raise MediaError(
                    f"{self.name}: its sound changes from {self.channels} channels at {self.rate} Hz to "
                    f"{samples.shape[1]} at {frame.sample_rate} Hz"
                )
        return joined(found, self.dtype, self.channels or 1)

    def place(self, time: float | None, count: int) -> tuple[int, int]:
        """The number of the first of the next ``count`` samples, and how many are missing before it."""
        expected = self._next or 0
        start = expected
        if count and self.video is not None and time is not None:
            at = round((time - float(self.video.begin)) * self.rate)
            if self._next is None or at - expected > GAP * self.rate:
                start = at
        elif count and time is not None and self.codec == "flac":
            if self._next is None:
                self._begun = time
            elif abs(time - self._begun - expected / self.rate) > MISSING:
                raise MediaError(f"{self.name}: its sound is damaged at {expected / self.rate:.3f} s")
        missing = start - expected if self._next is not None else 0
        if count:
            self._next = start + count
        return start, missing

    def is_over(self, start: int) -> bool:
        """Whether the video has ended when this sample is heard."""
        return self.video is not None and start >= self.video.seconds * self.rate


def _time(frames: list[AudioFrame]) -> float | None:
    return frames[0].time if frames else None


class Copied:
    """Packets as they are, but for the headers that AAC has in a stream of its own (ADTS)."""

    def __init__(self, sound: PlainSound) -> None:
        self._sound = sound
        self.codec = sound.codec
        self._bare: BitStreamFilterContext | None = None
        self._template: AudioStream | None = None
        self.extradata = sound.context.extradata or b""
        if sound.codec == "aac" and not self.extradata:
            self._bare = BitStreamFilterContext("aac_adtstoasc", sound.stream)

    def pieces(self) -> Iterator[Piece]:
        """What is to be stored, piece by piece.

        Raises:
            NotCopiedError: packets that cannot be read back.
        """
        sound = self._sound
        known = self.extradata
        for packet, samples, time in sound.packets():
            if packet.has_sidedata("new_extradata") and self._template is not None:
                raise NotCopiedError
            start, _ = sound.place(time, len(samples))
            if sound.is_over(start):
                return
            if self._bare is not None:
                if self._template is None:
                    self._template = _with_parameters(packet, sound.stream)
                    self.extradata = known = self._template.codec_context.extradata or b""
                data = b"".join(bytes(bare) for bare in self._bare.filter(packet))
            else:
                self._template = sound.stream
                data = bytes(packet)
            if not known and self.codec != "mp3":
                raise NotCopiedError
            yield Piece(data, samples, start)

    def add_stream(self, output: OutputContainer) -> AudioStream:
        """A stream for these packets."""
        assert self._template is not None
        stream: AudioStream = output.add_stream_from_template(self._template, opaque=True)
        return stream


def _with_parameters(packet: Packet[Any], stream: AudioStream) -> AudioStream:
    """The same stream in MP4, whose muxer finds the parameters that ADTS repeats with every packet."""
    file = BytesIO()
    copy: Packet[Any] = Packet(packet.size)
    copy.update(bytes(packet))
    copy.pts = copy.dts = 0
    copy.duration, copy.time_base = packet.duration, packet.time_base
    with av.open(file, "w", "mp4") as output:
        copy.stream = output.add_stream_from_template(stream, opaque=True)
        output.mux(copy)
    file.seek(0)
    return av.open(file).streams.audio[0]


class Encoded:
    """Samples as FLAC or PCM: nothing is lost of them."""

    extradata = b""

    def __init__(self, sound: PlainSound) -> None:
        self._sound = sound
        self._encoder: AudioCodecContext | None = None
        self.codec = ""

    def pieces(self) -> Iterator[Piece]:
        """What is to be stored, piece by piece."""
        sound = self._sound
        waiting: list[Samples] = []
        count = start = 0
        block = 0
        for _, samples, time in sound.packets():
            if not len(samples):
                continue
            if not block:
                block = self._begin()
            at, missing = sound.place(time, len(samples))
            if count and missing:
                # Silence up to the next block; where it is longer, the block after it begins later.
                silence = min(missing, block - count)
                waiting.append(np.zeros((silence, sound.channels), sound.dtype))
                count += silence
                if count == block:
                    yield self._piece(np.concatenate(waiting), start)
                    waiting, count = [], 0
            if not count:
                start = at
            if sound.is_over(start):
                waiting, count = [], 0
                break
            waiting.append(samples)
            count += len(samples)
            if count >= block:
                joint = np.concatenate(waiting)
                while count >= block:
                    yield self._piece(joint[:block], start)
                    joint, start, count = joint[block:], start + block, count - block
                waiting = [joint]
        if count:
            yield self._piece(np.concatenate(waiting), start)

    def _begin(self) -> int:
        """Make the encoder; how many samples a packet holds."""
        sound = self._sound
        self.codec = PCM[sound.dtype]
        if sound.dtype.startswith("int") and sound.channels in FLAC_CHANNELS:
            with BytesIO() as file, av.open(file, "w", "mp4", options=muxer_options()) as output:
                try:
                    encoder = self._flac(output).codec_context
                except (av.error.FFmpegError, ValueError):  # a sample rate that FLAC has no number for
                    return PCM_BLOCK
                self.codec, self._encoder = "flac", encoder
                self.extradata = encoder.extradata or b""
                return int(encoder.frame_size)
        return PCM_BLOCK

    def _piece(self, samples: Samples, start: int) -> Piece:
        if self._encoder is None:
            return Piece(np.ascontiguousarray(samples, samples.dtype.newbyteorder("<")).tobytes(), samples, start)
        form = "s16" if samples.dtype == np.int16 else "s32"
        layout = FLAC_CHANNELS[self._sound.channels]
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format=form, layout=layout)
        frame.sample_rate = self._sound.rate
        packets = self._encoder.encode(frame)
        if len(samples) < self._encoder.frame_size:  # the last one, which the encoder holds back
            packets += self._encoder.encode(None)
        return Piece(b"".join(bytes(packet) for packet in packets), samples, start)

    def add_stream(self, output: OutputContainer) -> AudioStream:
        """A stream for these packets."""
        if self._encoder is not None:
            return self._flac(output)
        layout = self._sound.layout
        stream: AudioStream = output.add_stream(cast("Any", self.codec), rate=self._sound.rate, layout=layout)
        return stream

    def _flac(self, output: OutputContainer) -> AudioStream:
        sound = self._sound
        # FLAC keeps 24 bits of 32 unless it is asked for all of them.
        deep = sound.dtype == "int32" and not sound.codec.startswith(("pcm_s24", "pcm_u24"))
        options = {"strict": "experimental", "bits_per_raw_sample": "32"} if deep else {}
        layout = FLAC_CHANNELS[sound.channels]
        stream: AudioStream = output.add_stream("flac", rate=sound.rate, layout=layout, options=options)
        stream.codec_context.format = "s16" if sound.dtype == "int16" else "s32"
        stream.codec_context.open()  # or it would be opened with the muxer's options
        return stream
