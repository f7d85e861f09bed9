"""Cutting a video into segments that players stream and decoders start in, as copies of its packets.

H.264 and HEVC with AAC or MP3 go into MPEG-TS; what a transport stream cannot carry goes into fragmented MP4 (FFmpeg
would mux AV1, VP9 or Opus into TS without an error, and nobody could read them back).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from dreamlake.core.frameindex import FrameIndex
from dreamlake.core.playlist import Playlist
from dreamlake.errors import MediaError
from dreamlake.media.container import open_media
from dreamlake.media.packets import TimedPackets
from dreamlake.media.scan import Scan
from dreamlake.media.stored import read_packets

__all__ = [
    "EXTENSIONS", "MP4_AUDIO", "STREAM_COPY", "Segment", "Splitter", "container_for", "cut_fragment", "muxer_options",
]  # fmt: skip

TS_TICK = Fraction(1, 90_000)  # the only time base of a transport stream
TS_VIDEO = frozenset({"h264", "hevc"})
TS_AUDIO = frozenset({"aac", "mp3"})
STREAM_COPY = TS_VIDEO | {"av1", "vp9"}
# AC-3 could be muxed as well, but not before its first packet is known, and browsers do not play it.
MP4_AUDIO = TS_AUDIO | {"opus", "flac", "alac"}
_TO_BYTE_STREAM = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
EXTENSIONS = {"mpegts": "ts", "mp4": "m4s"}
_MUXER_OPTIONS = {
    # Every segment is muxed on its own: say so to players that carry on from the one before.
    "mpegts": {"mpegts_flags": "initial_discontinuity"},
    # One fragment behind an initialisation section, its times as they are and not moved to zero.
    "mp4": {
        "movflags": "frag_custom+empty_moov+default_base_moof+frag_discont+skip_trailer",
        "use_editlist": "0",
        "avoid_negative_ts": "disabled",
    },
}


@dataclass(frozen=True)
class Segment:
    """A finished segment: a file, its SHA-256 (32 bytes) and its size in bytes."""

    path: Path
    digest: bytes
    size: int


def muxer_options() -> dict[str, str]:
    """How sound is muxed into fMP4; MP4 knows no MP3 below 16 kHz, and players play it."""
    return {**_MUXER_OPTIONS["mp4"], "strict": "experimental"}


def container_for(video: str, audio: str | None) -> str:
    """The container of the segments, ``mpegts`` or ``mp4``, for these codecs."""
    return "mpegts" if video in TS_VIDEO and (audio is None or audio in TS_AUDIO) else "mp4"


class Splitter:
    """Cuts one scanned file; afterwards ``index`` and ``playlist`` are complete.

    Args:
        path: of a file whose codecs can be copied (``STREAM_COPY``, ``MP4_AUDIO``).
        scanned: what ``scan`` found in it.
        folder: where the segments' files go.
        transcoded_from: the original codec, if the file is not the original.

    Attributes:
        init: the initialisation section of fMP4; empty for MPEG-TS.
    """

    def __init__(self, path: Path, scanned: Scan, folder: Path, transcoded_from: str | None = None) -> None:
        self._path = path
        self._scan = scanned
        self._folder = folder
        self.transcoded_from = transcoded_from
        self._done: list[tuple[bytes, int]] = []
        self._filter: BitStreamFilterContext | None = None
        codec = scanned.index.header.codec
        # A transport stream takes fields apart, and the first parameter sets are put in front of every key packet.
        as_it_is = scanned.both_fields or scanned.index.header.parameters_change
        self.container = "mp4" if as_it_is else container_for(codec, scanned.audio_codec)
        self.init = b""

    def segments(self) -> Iterator[Segment]:
        """Write one segment after the other; a file may be moved away once it is yielded.

        Raises:
            MediaError: the file cannot be read or muxed.
        """
        bounds = self._scan.index.segment_packet.tolist()
        with open_media(self._path) as source:
            packets = TimedPackets(source, self._path.name, self._scan, TS_TICK if self.container == "mpegts" else None)
            for number, (first, last) in enumerate(pairwise(bounds)):
                path = self._folder / f"{number}.{EXTENSIONS[self.container]}"
                self._mux(path, packets, last - first)
                yield self._finish(path, number, last - first)

    @property
    def count(self) -> int:
        """How many segments there will be."""
        return self._scan.index.segments

    @property
    def index(self) -> FrameIndex:
        """The frame index with every segment's digest and size."""
        header = msgspec.structs.replace(
            self._scan.index.header,
            container=self.container,
            init_hash=sha256(self.init).hexdigest() if self.init else None,
            transcoded_from=self.transcoded_from,
        )
        index = self._scan.index
        digests = np.frombuffer(b"".join(digest for digest, _ in self._done), np.uint8).reshape(-1, 32)
        sizes = np.array([size for _, size in self._done], np.int64)
        return FrameIndex(
            header, index.pts, index.frame_packet, index.packet_flags, index.segment_packet, digests, sizes
        )

    def playlist(self, chunk_name: Callable[[str, str], str]) -> Playlist:
        """The playlist of the stream.

        Args:
            chunk_name: gives the URI of a chunk from its SHA-256 in hex and its extension.
        """
        index = self.index
        extension = EXTENSIONS[self.container]
        return Playlist(
            uris=[chunk_name(digest.hex(), extension) for digest, _ in self._done],
            durations=[duration for _, duration in index.segment_spans()],
            init=chunk_name(index.header.init_hash, "mp4") if index.header.init_hash else None,
            independent=not index.needs_previous().any(),
        )

    def _mux(self, path: Path, packets: TimedPackets, count: int) -> None:
        with av.open(str(path), "w", self.container, options=_MUXER_OPTIONS[self.container]) as output:
            streams = {source: _add_stream(output, source) for source in packets.streams}
            for packet in packets.take(count):
                target = streams[packet.stream]
                for filtered in self._filtered(packet, packets.video):
                    filtered.stream = target
                    output.mux(filtered)

    def _filtered(self, packet: Packet[Any], video: VideoStream) -> list[Packet[Any]]:
        """Parameter sets in front of every key packet: a segment that begins without an IDR picture (open GOP) would
        have none otherwise."""
        if self.container != "mpegts" or packet.stream is not video:
            return [packet]
        if self._filter is None:
            name = _TO_BYTE_STREAM[self._scan.index.header.codec]
            self._filter = BitStreamFilterContext(f"{name},dump_extra=freq=keyframe", video)
            packet.is_keyframe = True  # the first one, key or not: a decoder begins with it
        return self._filter.filter(packet)

    def _finish(self, path: Path, number: int, packets: int) -> Segment:
        data = path.read_bytes()
        if self.container == "mp4":
            init, data = cut_fragment(data)
            if self.init and init != self.init:
                raise MediaError(f"{self._path.name}: its parameters change at segment {number}")
            self.init = init
            path.write_bytes(data)
        found, _ = read_packets(self.init + data, self.container)
        if len(found) != packets:
            raise MediaError(f"{self._path.name}: segment {number} keeps {len(found)} of {packets} frames")
        digest = sha256(data).digest()
        self._done.append((digest, len(data)))
        return Segment(path, digest, len(data))


def _add_stream(output: OutputContainer, source: VideoStream | AudioStream) -> Stream:
    stream: Stream = output.add_stream_from_template(source, opaque=True)
    stream.time_base = source.time_base
    return stream


def cut_fragment(data: bytes) -> tuple[bytes, bytes]:
    """Cut an MP4 before its first ``moof`` box (ISO/IEC 14496-12): the initialisation section, and the fragment."""
    at = 0
    while at + 8 <= len(data):
        if data[at + 4 : at + 8] == b"moof":
            return data[:at], data[at:]
        at += max(8, int.from_bytes(data[at : at + 4], "big"))
    raise MediaError("the muxer wrote no fragment")
