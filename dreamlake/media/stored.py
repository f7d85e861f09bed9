"""Stored segments: from the bytes of a chunk to packets that a decoder takes."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import av
from av.packet import Packet
from av.stream import Discard

from dreamlake.core.frameindex import FrameIndex
from dreamlake.errors import IntegrityError, MediaError
from dreamlake.media.container import media_errors

__all__ = ["StoredPackets", "demux_segment", "number_packets", "read_packets"]


@dataclass(frozen=True, eq=False)
class StoredPackets:
    """The video packets of one segment, in decode order.

    Each packet's pts is the number of the frame that it decodes to (negative for pictures that are not displayed), so
    that whatever order a decoder answers in, its pictures name themselves.

    Attributes:
        packets: of the segment; they are shared between readers and never altered.
        first: the number of the first one in the whole video.
        extradata: that the decoder needs before the first packet; None when the packets carry it themselves.
        nbytes: of memory, nearly.
    """

    packets: list[Packet[Any]]
    first: int
    extradata: bytes | None
    nbytes: int


def demux_segment(data: bytes, init: bytes, index: FrameIndex, segment: int) -> StoredPackets:
    """Take a stored segment apart.

    Args:
        data: the bytes of the chunk.
        init: the initialisation section of fMP4; empty for MPEG-TS.
        index: of the video.
        segment: which one it is.

    Raises:
        IntegrityError: not as many packets as the index says.
    """
    first, last = (int(number) for number in index.segment_packet[segment : segment + 2])
    try:
        packets, extradata = read_packets(init + data, index.header.container or "")
    except MediaError as error:
        raise IntegrityError(f"segment {segment} cannot be read: {error}") from error
    if len(packets) != last - first:
        raise IntegrityError(f"segment {segment} holds {len(packets)} packets where the index says {last - first}")
    number_packets(packets, first, index)
    # Transport streams repeat the parameter sets in front of every key frame.
    return StoredPackets(packets, first, extradata if init else None, sum(packet.size for packet in packets))


def number_packets(packets: list[Packet[Any]], first: int, index: FrameIndex) -> None:
    """Give packets, the first of which has the number ``first``, the numbers of their frames as pts."""
    for number, packet in enumerate(packets, first):
        frame = int(index.packet_frame[number])
        packet.pts = frame if frame >= 0 else -1 - number
        packet.dts = number


def read_packets(data: bytes, container: str) -> tuple[list[Packet[Any]], bytes | None]:
    """The video packets of one segment and its extradata.

    Opening is cheap: FFmpeg is kept from decoding a frame only to find out what the index already says.
    """
    # One entry for each stream a segment may hold: video, and sound.
    quiet: Any = [{"skip_frame": "all"}] * 2  # PyAV takes a dict for each stream
    options = {"probesize": "32768", "analyzeduration": "0"}
    with (
        media_errors("segment"),
        av.open(BytesIO(data), "r", container, options, stream_options=quiet) as source,
    ):
        video = source.streams.video[0]
        for stream in source.streams:
            if stream is not video:
                stream.discard = Discard.all
        packets: list[Packet[Any]] = [packet for packet in source.demux(video) if packet.size]
        if container == "mpegts":
            # That demuxer's buffers are up to twice as large as what is in them, and these packets are kept.
            packets = [_copy(packet) for packet in packets]
        return packets, video.codec_context.extradata


def _copy(packet: Packet[Any]) -> Packet[Any]:
    # A packet made of bytes borrows them, and decoders read on into the zeros that have to follow a packet.
    copy: Packet[Any] = Packet(packet.size)
    copy.update(bytes(packet))
    copy.is_keyframe = packet.is_keyframe
    return copy
