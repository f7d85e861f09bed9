"""The exact index of a video: for every displayed frame when it is shown and where it is stored.

It is made once at ingest by walking the packets, kept as ``frames.npz`` beside the playlist, and answers every
question about time and frames with no network and no decoding. Packets are numbered in decode order over the whole
video, frames in display order; everything else is derived from the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dreamlake.core.indexfile import pack, unpack
from dreamlake.core.timeline import Timeline

__all__ = ["DROPPABLE", "KEY", "LEADING", "SECOND_FIELD", "FrameIndex", "IndexHeader"]

VERSION = 1

KEY = 1  # decoding may begin here, and everything shown after it is exact
DROPPABLE = 2  # no other packet refers to it
LEADING = 4  # shown before the key packet it follows: decodes only from the key packet before that one (open GOP)
SECOND_FIELD = 8  # completes the interlaced picture that the packet before it begins

Ints = NDArray[np.int64]


class IndexHeader(msgspec.Struct, rename="camel", kw_only=True):
    """What holds for the whole video.

    Attributes:
        codec: of the stored packets, FFmpeg's name.
        container: of the segments, ``mpegts`` or ``mp4``; None for a file that is read as it is.
        width: pixels of a decoded picture, before rotation.
        height: pixels of a decoded picture, before rotation.
        rotation: degrees clockwise that a picture is turned for display: 0, 90, 180 or 270.
        time_base: of ``pts``, numerator and denominator of a second.
        end_pts: when the last frame leaves the display.
        fps: average frames per second, numerator and denominator.
        init_hash: SHA-256 of the fMP4 initialisation section.
        transcoded_from: the original codec, when the packets are not the original's.
        has_audio: whether the segments carry sound.
        color_space: of the decoded pictures where the packets do not say it (ITU-T H.273 matrix coefficients).
        color_range: 1 limited, 2 full, 0 not said.
        pix_fmt: of the decoded pictures, FFmpeg's name.
        codec_tag: four characters by which the original's container calls the codec, for codecs that depend on it.
        bits_per_pixel: of the codec, for those that depend on it; 0 when the container does not say.
        parameters_change: whether packets bring parameter sets that a decoder keeps, and others must not find there.
    """

    codec: str
    width: int
    height: int
    time_base: tuple[int, int]
    end_pts: int
    fps: tuple[int, int]
    rotation: int = 0
    container: str | None = None
    init_hash: str | None = None
    transcoded_from: str | None = None
    has_audio: bool = False
    color_space: int = 2
    color_range: int = 0
    pix_fmt: str | None = None
    codec_tag: str | None = None
    bits_per_pixel: int = 0
    parameters_change: bool = False
    version: int = VERSION


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The index in memory.

    Attributes:
        header: what holds for the whole video.
        pts: (N,) presentation time of each frame in the source's own time base, increasing.
        frame_packet: (N,) the packet that decodes to each frame; the first one where its fields have a packet each.
        packet_flags: (P,) KEY, DROPPABLE, LEADING and SECOND_FIELD of each packet.
        segment_packet: (S + 1,) the first packet of each segment, and P.
        segment_sha256: (S, 32) uint8 digest of each segment's bytes; (0, 32) for a file that is read as it is.
        segment_size: (S,) bytes of each segment.
    """

    header: IndexHeader
    pts: Ints
    frame_packet: Ints
    packet_flags: NDArray[np.uint8]
    segment_packet: Ints
    segment_sha256: NDArray[np.uint8]
    segment_size: Ints

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return len(self.segment_packet) - 1

    @cached_property
    def timeline(self) -> Timeline:
        """When each frame is shown, in seconds from the first one."""
        numerator, denominator = self.header.time_base
        ticks = self.pts - self.pts[0]
        end = (self.header.end_pts - int(self.pts[0])) * numerator / denominator
        return Timeline(ticks * numerator / denominator, end)

    @cached_property
    def packet_frame(self) -> Ints:
        """(P,) the frame that each packet decodes to, or begins; -1 for those that are decoded and not displayed."""
        frames = np.full(len(self.packet_flags), -1, np.int64)
        frames[self.frame_packet] = np.arange(len(self.pts))
        return frames

    @cached_property
    def has_fields(self) -> bool:
        """Whether there are pictures whose two fields are packets of their own."""
        return bool((self.packet_flags & SECOND_FIELD).any())

    @cached_property
    def is_key(self) -> NDArray[np.bool_]:
        """(N,) whether decoding may begin at a frame."""
        flags: NDArray[np.bool_] = self.packet_flags[self.frame_packet] & KEY != 0
        return flags

    @cached_property
    def packet_entry(self) -> Ints:
        """(P,) the key packet from which each packet decodes: the last one, or for leading packets the one before."""
        numbers = np.arange(len(self.packet_flags))
        keys = np.flatnonzero(self.packet_flags & KEY)
        if not len(keys) or keys[0] != 0:
            keys = np.concatenate([[0], keys])
        nth = np.searchsorted(keys, numbers, side="right") - 1
        nth -= (self.packet_flags & LEADING != 0) & (nth > 0)
        return keys[nth].astype(np.int64)

    @property
    def fps(self) -> float:
        """Average frames per second."""
        return float(Fraction(*self.header.fps))

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height of a displayed picture, in pixels, after rotation."""
        size = (self.header.width, self.header.height)
        return size[::-1] if self.header.rotation % 180 else size

    def segment_of(self, packet: int) -> int:
        """The segment that holds a packet."""
        return int(np.searchsorted(self.segment_packet, packet, side="right")) - 1

    def segment_name(self, segment: int) -> str:
        """The 16 hex digits that a segment's chunk is named by."""
        return bytes(self.segment_sha256[segment]).hex()[:16]

    def needs_previous(self) -> NDArray[np.bool_]:
        """(N,) whether a frame decodes only with the help of the segment before its own (open GOP)."""
        entries = self.packet_entry[self.frame_packet]
        own = self.segment_packet[np.searchsorted(self.segment_packet, self.frame_packet, side="right") - 1]
        return entries < own

    def segment_spans(self) -> list[tuple[float, float]]:
        """(start, duration) of each segment in seconds; together they cover the video without a gap."""
        starts = [self.timeline.end]
        for first, last in zip(self.segment_packet[-2::-1], self.segment_packet[:0:-1], strict=True):
            frames = self.packet_frame[first:last]
            shown = frames[frames >= 0]
            # One of which nothing is shown takes no time.
            starts.append(float(self.timeline.times[shown.min()]) if len(shown) else starts[-1])
        starts.reverse()
        return [(start, max(0.0, end - start)) for start, end in pairwise(starts)]

    def to_bytes(self) -> bytes:
        """``frames.npz``: the same index always gives the same bytes."""
        return pack(
            self.header,
            # Differences repeat, so they compress to almost nothing.
            pts=np.diff(self.pts, prepend=0),
            frame_packet=np.diff(self.frame_packet, prepend=0),
            packet_flags=self.packet_flags,
            segment_packet=self.segment_packet,
            segment_sha256=self.segment_sha256,
            segment_size=self.segment_size,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> FrameIndex:
        """Read ``frames.npz``.

        Raises:
            IntegrityError: damaged, contradictory, or written by a newer Dreamlake.
        """

        def make(header: bytes, arrays: Mapping[str, NDArray[Any]]) -> FrameIndex:
            return cls(
                msgspec.json.decode(header, type=IndexHeader),
                np.cumsum(arrays["pts"]),
                np.cumsum(arrays["frame_packet"]),
                arrays["packet_flags"],
                arrays["segment_packet"],
                arrays["segment_sha256"],
                arrays["segment_size"],
            )

        return unpack(data, "the frame index", VERSION, make)

    def is_consistent(self) -> bool:
        """Whether everything that is derived from the arrays can be."""
        packets, segments, header = len(self.packet_flags), len(self.segment_packet) - 1, self.header
        arrays = (self.pts, self.frame_packet, self.segment_packet, self.segment_size)
        return (
            all(array.ndim == 1 and array.dtype == np.int64 for array in arrays)
            and self.packet_flags.ndim == 1
            and self.packet_flags.dtype == self.segment_sha256.dtype == np.uint8
            and 0 < len(self.pts) == len(self.frame_packet)
            and bool((np.diff(self.pts) >= 0).all())
            and header.end_pts > self.pts[-1]
            and min(*header.time_base, *header.fps) > 0
            and 0 <= self.frame_packet.min() <= self.frame_packet.max() < packets
            and int(np.bincount(self.frame_packet).max()) == 1
            and segments > 0
            and self.segment_packet[0] == 0
            and self.segment_packet[-1] == packets
            and bool((np.diff(self.segment_packet) > 0).all())
            and self.segment_sha256.shape in ((segments, 32), (0, 32))
            and len(self.segment_size) == len(self.segment_sha256)
        )
