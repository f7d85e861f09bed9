"""Cutting sound into segments that players stream and that are read back exactly, whatever it came in.

Packets of AAC, MP3, FLAC, ALAC, Opus and Vorbis are copied. Of everything else the samples are kept as they are:
integers as FLAC, floats, and what FLAC cannot hold, as PCM. All of it goes into fragmented MP4. Every segment is read
back as a reader will read it, and compared with what decoding the original from its beginning gives: that tells where
decoding has to begin, and what a container has the decoder leave out (encoder delay, edit lists, padding).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
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

from dreamlake.core.playlist import Playlist
from dreamlake.core.sampleindex import INDEPENDENT, SampleIndex, SoundHeader, SoundType
from dreamlake.core.segments import MAX_BYTES
from dreamlake.errors import MediaError
from dreamlake.media.peaks import PeakFinder
from dreamlake.media.sound import PCM, PacketDecoder, joined, samples_of
from dreamlake.media.split import cut_fragment, muxer_options

__all__ = ["SoundChunk", "SoundSplitter", "VideoTime"]

Samples = NDArray[Any]
Ints = NDArray[np.int64]

COPIED = frozenset({"aac", "mp3", "flac", "alac", "opus", "vorbis"})
SECONDS = 4.0  # of a segment
GAP = 0.1  # seconds: times that differ by less are only written down badly
MISSING = 0.002  # seconds: of FLAC, whose frames say what number they have, and containers that know milliseconds
# How far before a segment its decoder begins, in seconds: the first that gives the same bits is taken, else the best.
LEADS = (0.1, 0.5, SECONDS)
CLOSE = 2.0**-12  # how much a copy may differ whose decoder never quite forgets where it began
PCM_BLOCK = 4096  # samples of a packet
FLAC_CHANNELS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True)
class SoundChunk:
    """A finished segment: its bytes and their SHA-256."""

    data: bytes
    digest: bytes


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
class _Piece:
    """A packet as it is stored, the samples that it stands for, and the number of the first."""

    data: bytes
    samples: Samples
    start: int
    raw: int = 0  # samples that come out of the decoder


class _NotLikeThis(Exception):
    """The packets cannot be copied: what is stored would not be read back."""


class SoundSplitter:
    """Cuts the first stream of sound in a file; afterwards ``index`` and ``playlist`` are complete.

    Args:
        opened: opens the file; it may be read twice.
        name: of the file, for messages.
        video: the time of the video that it is the sound of; None for an audio recording.
        report: told how many seconds are done.
    """

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[InputContainer]],
        name: str,
        video: VideoTime | None = None,
        report: Callable[[float], None] | None = None,
    ) -> None:
        self._opened, self._name, self._video = opened, name, video
        self._report = report or (lambda _: None)

    def segments(self) -> Iterator[SoundChunk]:
        """Cut one segment after the other; those of the first attempt are of no use if there is a second.

        Raises:
            MediaError: the file cannot be read.
        """
        for copied in (True, False):
            try:
                with self._opened() as container:
                    stream = container.streams.audio[0]
                    if not copied or stream.codec_context.codec.canonical_name in COPIED:
                        yield from self._cut(container, stream, copied=copied)
                        return
            except _NotLikeThis:
                continue

    def _cut(self, container: InputContainer, stream: AudioStream, *, copied: bool) -> Iterator[SoundChunk]:
        self._sound = sound = _Sound(container, stream, self._name, self._video)
        self._track = track = _Copy(sound) if copied else _Encoded(sound)
        self._writer = writer = _Writer(sound, track)
        pieces: list[_Piece] = []
        held = size = 0
        for piece in track.pieces():
            if pieces and (held >= SECONDS * sound.rate or size + len(piece.data) > MAX_BYTES):
                yield writer.close(pieces, last=False)
                self._report((piece.start - writer.starts[0]) / sound.rate)
                pieces, held, size = [], 0, 0
            pieces.append(piece)
            held, size = held + len(piece.samples), size + len(piece.data)
        if not any(len(piece.samples) for piece in pieces) and not any(writer.counts):
            raise MediaError(f"{self._name}: its sound cannot be decoded")
        yield writer.close(pieces, last=True)

    @property
    def init(self) -> bytes:
        """The initialisation section."""
        return self._writer.init

    @property
    def index(self) -> SampleIndex:
        """The sample index."""
        return self._writer.index(self._video)

    def playlist(self, chunk_name: Callable[[str, str], str]) -> Playlist:
        """The playlist of the stream.

        Args:
            chunk_name: gives the URI of a chunk from its SHA-256 in hex and its extension.
        """
        writer = self._writer
        return Playlist(
            uris=[chunk_name(digest.hex(), "m4s") for digest in writer.digests],
            durations=[max(samples / self._sound.rate, 0.001) for samples in writer.played],
            init=chunk_name(sha256(writer.init).hexdigest(), "mp4"),
        )


class _Sound:
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


class _Copy:
    """Packets as they are, but for the headers that AAC has in a stream of its own (ADTS)."""

    def __init__(self, sound: _Sound) -> None:
        self._sound = sound
        self.codec = sound.codec
        self._bare: BitStreamFilterContext | None = None
        self._template: AudioStream | None = None
        self.extradata = sound.context.extradata or b""
        if sound.codec == "aac" and not self.extradata:
            self._bare = BitStreamFilterContext("aac_adtstoasc", sound.stream)

    def pieces(self) -> Iterator[_Piece]:
        sound = self._sound
        known = self.extradata
        for packet, samples, time in sound.packets():
            if packet.has_sidedata("new_extradata") and self._template is not None:
                raise _NotLikeThis
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
                raise _NotLikeThis
            yield _Piece(data, samples, start)

    def add_stream(self, output: OutputContainer) -> AudioStream:
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


class _Encoded:
    """Samples as FLAC or PCM: nothing is lost of them."""

    extradata = b""

    def __init__(self, sound: _Sound) -> None:
        self._sound = sound
        self._encoder: AudioCodecContext | None = None
        self.codec = ""

    def pieces(self) -> Iterator[_Piece]:
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

    def _piece(self, samples: Samples, start: int) -> _Piece:
        if self._encoder is None:
            return _Piece(np.ascontiguousarray(samples, samples.dtype.newbyteorder("<")).tobytes(), samples, start)
        form = "s16" if samples.dtype == np.int16 else "s32"
        layout = FLAC_CHANNELS[self._sound.channels]
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format=form, layout=layout)
        frame.sample_rate = self._sound.rate
        packets = self._encoder.encode(frame)
        if len(samples) < self._encoder.frame_size:  # the last one, which the encoder holds back
            packets += self._encoder.encode(None)
        return _Piece(b"".join(bytes(packet) for packet in packets), samples, start)

    def add_stream(self, output: OutputContainer) -> AudioStream:
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


class _Writer:
    """Segments as they are finished, and what the index says of them."""

    def __init__(self, sound: _Sound, track: _Copy | _Encoded) -> None:
        self._sound, self._track = sound, track
        self._before: list[_Piece] = []
        self._leads = list(LEADS)
        self._peaks = PeakFinder()
        self._bits = 0
        self._heard: int | None = None  # the number after the last sample so far
        self._muxed = 0  # samples, with those that nobody hears
        self._exact = True
        self.init = b""
        self.sizes: list[int] = []
        self.starts: list[int] = []
        self.counts: list[int] = []
        self._skips: list[int] = []
        self._firsts = [0]
        self._entries: list[int] = []
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self.digests: list[bytes] = []
        self.played: list[int] = []

    def close(self, pieces: list[_Piece], *, last: bool) -> SoundChunk:
        """Finish a segment."""
        entry, skips, exact = self._read_back(pieces, last=last)
        data = self._mux(pieces)
        payload = b"".join(piece.data for piece in pieces)
        offset = len(data) - len(payload)
        if data[offset - 4 :] != b"mdat" + payload:  # the muxer made something else of them
            raise _NotLikeThis
        self._note(pieces)
        for piece in pieces:
            self.sizes.append(len(piece.data))
            self.starts.append(piece.start)
            self.counts.append(len(piece.samples))
            piece.samples = piece.samples[:0]
        self._skips += skips
        self._exact &= exact
        self._entries.append(self._firsts[-1] - entry)
        self._firsts.append(self._firsts[-1] + len(pieces))
        self._offsets.append(offset)
        self._lengths.append(len(data))
        self.played.append(sum(piece.raw for piece in pieces))
        self._before = pieces
        digest = sha256(data).digest()
        self.digests.append(digest)
        return SoundChunk(data, digest)

    def _read_back(self, pieces: list[_Piece], *, last: bool) -> tuple[int, list[int], bool]:
        """How many packets before a segment decoding begins, what is skipped in each, and whether it is exact."""
        tried: list[tuple[float, int, list[int]]] = []
        alone = self._track.codec.startswith(INDEPENDENT) or not self._before
        for lead in (0.0,) if alone else tuple(self._leads):
            before = samples = 0
            while before < len(self._before) and samples < lead * self._sound.rate:
                before += 1
                samples += self._before[-before].raw
            error, skips = self._compare(self._before[len(self._before) - before :], pieces, last=last)
            if not error:
                return before, skips, True
            tried.append((error, before, skips))
        least = min(error for error, _, _ in tried)
        error, before, skips = next(attempt for attempt in tried if attempt[0] <= 2 * least)
        # The noise that AAC has a decoder make up (PNS) depends on how much was made up before: it never is the same.
        if alone or not error < (np.inf if self._track.codec == "aac" else CLOSE):
            raise _NotLikeThis
        self._leads = [self._leads[tried.index((error, before, skips))]]
        return before, skips, False

    def _compare(self, before: list[_Piece], pieces: list[_Piece], *, last: bool) -> tuple[float, list[int]]:
        """How far a segment is from what it should be when decoding begins with these packets, and what is skipped."""
        sound, track = self._sound, self._track
        decoder = PacketDecoder(track.codec, track.extradata, sound.dtype, sound.channels, sound.rate, sound.layout)
        worst, skips = 0.0, []
        for piece in before:
            _fed(decoder, piece)
        for piece in pieces:
            found = _fed(decoder, piece)
            if last and piece is pieces[-1]:
                found = np.concatenate([found, decoder.feed(None)])
            piece.raw = len(found)
            error, skip = _difference(found, piece.samples)
            worst = max(worst, error)
            skips.append(skip)
        return worst, skips

    def _mux(self, pieces: list[_Piece]) -> bytes:
        file = BytesIO()
        rate = self._sound.rate
        # MP4 proper has no name for channels that nobody has said what they are; its ancestor takes any.
        form = "mov" if self._track.codec.startswith("pcm_") else "mp4"
        with av.open(file, "w", form, options=muxer_options()) as output:
            stream = self._track.add_stream(output)
            stream.time_base = Fraction(1, rate)
            for piece in pieces:
                packet: Packet[Any] = Packet(len(piece.data))
                packet.update(piece.data)
                packet.pts = packet.dts = self._muxed
                packet.duration, packet.time_base = piece.raw, Fraction(1, rate)
                packet.is_keyframe = True
                packet.stream = stream
                output.mux_one(packet)
                self._muxed += piece.raw
        init, data = cut_fragment(file.getvalue())
        if self.init and init != self.init:
            raise _NotLikeThis
        self.init = init
        return data

    def _note(self, pieces: list[_Piece]) -> None:
        """What is drawn of the samples, and how many bits they use."""
        waiting: list[Samples] = []
        for piece in pieces:
            if len(piece.samples):
                if self._heard is not None and piece.start > self._heard:
                    self._draw(waiting)
                    waiting = []
                    self._peaks.silence(piece.start - self._heard, piece.samples)
                self._heard = piece.start + len(piece.samples)
                waiting.append(piece.samples)
        self._draw(waiting)

    def _draw(self, pieces: list[Samples]) -> None:
        if not pieces:
            return
        samples = np.concatenate(pieces)
        self._peaks.add(samples)
        bits = 8 * samples.itemsize
        if samples.dtype.kind == "i":
            used = int(np.bitwise_or.reduce(samples, axis=None))
            bits -= (used & -used).bit_length() - 1 if used else bits
        self._bits = max(self._bits, bits)

    def index(self, video: VideoTime | None) -> SampleIndex:
        """All of it."""
        sound, track = self._sound, self._track
        counts, starts = np.array(self.counts, np.int64), np.array(self.starts, np.int64)
        heard = np.flatnonzero(counts)
        starts[: heard[0]] = starts[heard[0]]  # packets that only set the decoder going
        samples = int(starts[-1] + counts[-1]) if video is None else round(video.seconds * sound.rate)
        peaks, step = self._peaks.finish()
        header = SoundHeader(
            codec=sound.codec,
            stored=track.codec,
            sample_rate=sound.rate,
            channels=sound.channels,
            layout=sound.layout,
            dtype=sound.dtype,
            bits=self._bits,
            samples=samples,
            extradata=track.extradata,
            init_hash=sha256(self.init).hexdigest(),
            exact=self._exact,
            peak_samples=step,
        )
        return SampleIndex(
            header,
            np.array(self.sizes, np.int64),
            starts,
            counts,
            np.array(self._skips, np.int64),
            np.array(self._firsts, np.int64),
            np.array(self._entries, np.int64),
            np.array(self._offsets, np.int64),
            np.frombuffer(b"".join(self.digests), np.uint8).reshape(-1, 32),
            np.array(self._lengths, np.int64),
            peaks,
        )


def _fed(decoder: PacketDecoder, piece: _Piece) -> Samples:
    try:
        return decoder.feed(piece.data)
    except MediaError:
        return piece.samples[:0]  # nor does it give anything in the original, or it will show


def _difference(found: Samples, wanted: Samples) -> tuple[float, int]:
    """How far the best matching part of what came out is from what is wanted, and how much comes before it."""
    extra = len(found) - len(wanted)
    if extra < 0:
        return np.inf, 0
    if not len(wanted):
        return 0.0, len(found)
    best = (np.inf, 0)
    bits = f"i{wanted.itemsize}"  # so that what is no number is equal to itself as well
    # What is left out is nearly always at one end.
    for skip in dict.fromkeys((0, extra, *range(extra))):
        part = found[skip : skip + len(wanted)]
        if np.array_equal(part.view(bits), wanted.view(bits)):
            return 0.0, skip
        if skip in (0, extra):
            best = min(best, (float(np.abs(part.astype(np.float64) - wanted).max()) or np.inf, skip))
    return best
