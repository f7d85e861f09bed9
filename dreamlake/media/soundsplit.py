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
from typing import Any

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from numpy.typing import NDArray

from dreamlake.core.playlist import Playlist
from dreamlake.core.sampleindex import INDEPENDENT, SampleIndex, SoundHeader
from dreamlake.core.segments import MAX_BYTES
from dreamlake.errors import MediaError
from dreamlake.media.peaks import PeakFinder
from dreamlake.media.sound import PacketDecoder
from dreamlake.media.soundpieces import COPIED, Copied, Encoded, NotCopiedError, Piece, PlainSound, VideoTime
from dreamlake.media.split import cut_fragment, muxer_options

__all__ = ["SoundChunk", "SoundSplitter"]

Samples = NDArray[Any]

SECONDS = 4.0  # of a segment
# How far before a segment its decoder begins, in seconds: the first that gives the same bits is taken, else the best.
LEADS = (0.1, 0.5, SECONDS)
CLOSE = 2.0**-12  # how much a copy may differ whose decoder never quite forgets where it began


@dataclass(frozen=True)
class SoundChunk:
    """A finished segment: its bytes and their SHA-256."""

    data: bytes
    digest: bytes


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
            except NotCopiedError:
                continue

    def _cut(self, container: InputContainer, stream: AudioStream, *, copied: bool) -> Iterator[SoundChunk]:
        self._sound = sound = PlainSound(container, stream, self._name, self._video)
        self._track = track = Copied(sound) if copied else Encoded(sound)
        self._writer = writer = _Writer(sound, track)
        pieces: list[Piece] = []
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


class _Writer:
    """Segments as they are finished, and what the index says of them."""

    def __init__(self, sound: PlainSound, track: Copied | Encoded) -> None:
        self._sound, self._track = sound, track
        self._before: list[Piece] = []
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

    def close(self, pieces: list[Piece], *, last: bool) -> SoundChunk:
        """Finish a segment."""
        entry, skips, exact = self._read_back(pieces, last=last)
        data = self._mux(pieces)
        payload = b"".join(piece.data for piece in pieces)
        offset = len(data) - len(payload)
        if data[offset - 4 :] != b"mdat" + payload:  # the muxer made something else of them
            raise NotCopiedError
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

    def _read_back(self, pieces: list[Piece], *, last: bool) -> tuple[int, list[int], bool]:
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
            raise NotCopiedError
        self._leads = [self._leads[tried.index((error, before, skips))]]
        return before, skips, False

    def _compare(self, before: list[Piece], pieces: list[Piece], *, last: bool) -> tuple[float, list[int]]:
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

    def _mux(self, pieces: list[Piece]) -> bytes:
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
            raise NotCopiedError
        self.init = init
        return data

    def _note(self, pieces: list[Piece]) -> None:
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


def _fed(decoder: PacketDecoder, piece: Piece) -> Samples:
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
