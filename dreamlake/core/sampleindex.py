"""The exact index of sound: which packet decodes to which samples, and where it is stored.

It is made once at ingest and kept as ``samples.npz`` beside the playlist. Packets are numbered over the whole
recording; a sample's number is its place in time, in samples from the beginning: of an audio recording its first sample
has the number 0, of a video's sound the one that is heard when the first frame is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from dreamlake.core.indexfile import pack, unpack

__all__ = ["INDEPENDENT", "SampleIndex", "SoundHeader", "SoundRun", "SoundType"]

VERSION = 1
INDEPENDENT = ("flac", "alac", "pcm_")  # what these names begin with decodes packet by packet

Ints = NDArray[np.int64]
SoundType = Literal["int16", "int32", "float32", "float64"]


class SoundHeader(msgspec.Struct, rename="camel", kw_only=True):
    """What holds for the whole recording.

    Attributes:
        codec: of the original, FFmpeg's name.
        stored: the codec of the stored packets: the same where they were copied, else ``flac`` or one of PCM.
        sample_rate: Hz.
        channels: how many.
        layout: what the channels are, FFmpeg's name, such as ``5.1``.
        dtype: of a decoded sample; integers fill their type, whatever the number of bits.
        bits: of a sample that say something.
        samples: from the number 0 to the end of the recording, or of the video; sound need not reach from one to the
            other.
        extradata: that the decoder needs before the first packet.
        init_hash: SHA-256 of the fMP4 initialisation section.
        exact: whether every segment decodes, bit for bit, to what decoding the original from its beginning gives.
        peak_samples: how many samples one of the peaks stands for; the last one may stand for fewer.
    """

    codec: str
    stored: str
    sample_rate: int
    channels: int
    layout: str
    dtype: SoundType
    bits: int
    samples: int
    extradata: bytes = b""
    init_hash: str | None = None
    exact: bool = True
    peak_samples: int = 1
    version: int = VERSION


@dataclass(frozen=True)
class SoundRun:
    """One pass of a decoder: packets of one segment that are wanted.

    Attributes:
        segments: the segments to read: the wanted packets' own is the last, and what leads up to it is before it.
        entry: the packet that decoding begins with.
        first: the first packet that is wanted.
        stop: the packet after the last.
    """

    segments: range
    entry: int
    first: int
    stop: int


@dataclass(frozen=True, eq=False)
class SampleIndex:
    """The index in memory.

    Attributes:
        header: what holds for the whole recording.
        packet_bytes: (P,) size of each stored packet.
        packet_start: (P,) the number of the first sample that each packet gives, increasing; below 0 for what is
            heard before the first frame of a video.
        packet_samples: (P,) how many samples it gives.
        packet_skip: (P,) how many come out of the decoder before these, and are no part of the recording.
        segment_packet: (S + 1,) the first packet of each segment, and P.
        segment_entry: (S,) the packet that decoding a segment begins with, so that it is in full swing when the
            segment's own first packet comes.
        segment_offset: (S,) where in a segment's chunk the first packet begins; the others follow without a gap.
        segment_sha256: (S, 32) uint8 digest of each chunk.
        segment_size: (S,) bytes of each chunk.
        peaks: (B, C, 2) float16 least and greatest sample of each channel, from the recording's first sample on.
    """

    header: SoundHeader
    packet_bytes: Ints
    packet_start: Ints
    packet_samples: Ints
    packet_skip: Ints
    segment_packet: Ints
    segment_entry: Ints
    segment_offset: Ints
    segment_sha256: NDArray[np.uint8]
    segment_size: Ints
    peaks: NDArray[np.float16]

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return len(self.segment_packet) - 1

    @property
    def independent(self) -> bool:
        """Whether every packet decodes without those before it."""
        return self.header.stored.startswith(INDEPENDENT)

    @cached_property
    def packet_end(self) -> Ints:
        """(P,) the number after the last sample that each packet gives."""
        return self.packet_start + self.packet_samples

    @cached_property
    def packet_at(self) -> Ints:
        """(P,) where each packet begins in its segment's chunk."""
        before = np.cumsum(self.packet_bytes) - self.packet_bytes
        firsts = self.segment_packet[:-1]
        counts = np.diff(self.segment_packet)
        at: Ints = before + np.repeat(self.segment_offset - before[firsts], counts)
        return at

    @property
    def span(self) -> tuple[int, int]:
        """The numbers of the first sample there is, and of the one after the last."""
        return int(self.packet_start[0]), int(self.packet_end[-1])

    def segment_of(self, packet: int) -> int:
        """The segment that holds a packet."""
        return int(np.searchsorted(self.segment_packet, packet, side="right")) - 1

    def segment_spans(self) -> Ints:
        """(S, 2) the numbers of each segment's first sample, and of the one after its last."""
        firsts, lasts = self.segment_packet[:-1], self.segment_packet[1:] - 1
        return np.stack([self.packet_start[firsts], self.packet_end[lasts]], axis=1)

    def runs(self, start: int, stop: int) -> list[SoundRun]:
        """What has to be decoded for the samples from ``start`` to just before ``stop``: a run for each segment."""
        first = int(np.searchsorted(self.packet_end, start, side="right"))
        last = int(np.searchsorted(self.packet_start, stop, side="left"))
        if first >= last:
            return []
        runs = []
        for segment in range(self.segment_of(first), self.segment_of(last - 1) + 1):
            begin = max(first, int(self.segment_packet[segment]))
            end = min(last, int(self.segment_packet[segment + 1]))
            # A decoder that keeps a state always begins at the same packet, so that a sample is always the same.
            entry = begin if self.independent else int(self.segment_entry[segment])
            runs.append(SoundRun(range(self.segment_of(entry), segment + 1), entry, begin, end))
        return runs

    def to_bytes(self) -> bytes:
        """``samples.npz``: the same index always gives the same bytes."""
        return pack(
            self.header,
            packet_bytes=self.packet_bytes,
            # Mostly zeros: a packet begins where the one before it ends.
            packet_start=self.packet_start - np.concatenate([[0], self.packet_end[:-1]]),
            packet_samples=self.packet_samples,
            packet_skip=self.packet_skip,
            segment_packet=self.segment_packet,
            segment_entry=self.segment_entry,
            segment_offset=self.segment_offset,
            segment_sha256=self.segment_sha256,
            segment_size=self.segment_size,
            peaks=self.peaks,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> SampleIndex:
        """Read ``samples.npz``.

        Raises:
            IntegrityError: damaged, contradictory, or written by a newer Dreamlake.
        """

        def make(header: bytes, arrays: Mapping[str, NDArray[Any]]) -> SampleIndex:
            samples = arrays["packet_samples"]
            return cls(
                msgspec.json.decode(header, type=SoundHeader),
                arrays["packet_bytes"],
                np.cumsum(arrays["packet_start"]) + np.cumsum(samples) - samples,
                samples,
                arrays["packet_skip"],
                arrays["segment_packet"],
                arrays["segment_entry"],
                arrays["segment_offset"],
                arrays["segment_sha256"],
                arrays["segment_size"],
                arrays["peaks"],
            )

        return unpack(data, "the sample index", VERSION, make)

    def is_consistent(self) -> bool:
        """Whether everything that is derived from the arrays can be."""
        header, packets, segments = self.header, len(self.packet_bytes), self.segments
        of_packets = (self.packet_bytes, self.packet_start, self.packet_samples, self.packet_skip)
        of_segments = (self.segment_entry, self.segment_offset, self.segment_size)
        return (
            all(array.dtype == np.int64 and array.shape == (packets,) for array in of_packets)
            and all(array.dtype == np.int64 and array.shape == (segments,) for array in of_segments)
            and all(bool((array >= 0).all()) for array in (*of_packets[:1], *of_packets[2:], *of_segments))
            and self.segment_packet.dtype == np.int64
            and self.segment_packet.ndim == 1
            and packets > 0
            and segments > 0
            and self.segment_packet[0] == 0
            and self.segment_packet[-1] == packets
            and bool((np.diff(self.segment_packet) > 0).all())
            and bool((self.packet_start[1:] >= self.packet_end[:-1]).all())
            and bool((self.segment_entry <= self.segment_packet[:-1]).all())
            and self.segment_sha256.dtype == np.uint8
            and self.segment_sha256.shape == (segments, 32)
            and self.peaks.dtype == np.float16
            and self.peaks.shape[1:] == (header.channels, 2)
            and min(header.sample_rate, header.channels, header.peak_samples) > 0
            and header.samples >= 0
            and bool(
                (self.packet_at + self.packet_bytes <= np.repeat(self.segment_size, np.diff(self.segment_packet))).all()
            )
        )
