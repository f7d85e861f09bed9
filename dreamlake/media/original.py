"""Reading a file where it lies, without a lake: the same index and the same packets, by seeking in the original."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from dreamlake.core.frameindex import FrameIndex
from dreamlake.errors import IntegrityError
from dreamlake.media.container import best_video, open_media
from dreamlake.media.scan import Scan
from dreamlake.media.stored import StoredPackets, number_packets

__all__ = ["read_segment"]


def read_segment(path: Path, scanned: Scan, segment: int) -> StoredPackets:
    """The packets of one segment, straight from the original.

    Args:
        path: of the file.
        scanned: what ``scan`` found in it.
        segment: which one; segments begin at key frames.

    Raises:
        IntegrityError: the file is not the one that was scanned.
        MediaError: it cannot be read.
    """
    index: FrameIndex = scanned.index
    first, last = (int(number) for number in index.segment_packet[segment : segment + 2])
    sizes = scanned.packet_bytes[first:last].tolist()
    with open_media(path) as container:
        stream = best_video(container, path.name)
        extradata = stream.codec_context.extradata
        for number in _places(index, first):
            # A seek goes by decoding times in some containers and by presentation times in others, and some find
            # nothing: what lies there is the proof.
            if number:
                with suppress(av.error.FFmpegError):
                    container.seek(int(scanned.demuxed_pts[number]), stream=stream, backward=True)
                found = _after_seek(container, stream, int(scanned.demuxed_pts[first]), len(sizes))
            else:
                found = _from_start(path, first, last)
            if [packet.size for packet in found] == sizes:
                number_packets(found, first, index)
                return StoredPackets(found, first, extradata, sum(sizes))
    raise IntegrityError(f"{path.name}: changed since it was opened")


def _places(index: FrameIndex, first: int) -> Iterator[int]:
    """Packets to seek: the wanted one, the key packet before it, and the beginning."""
    if first:
        yield first
        yield int(index.packet_entry[first - 1])
    yield 0


def _after_seek(container: InputContainer, stream: VideoStream, begin: int, count: int) -> list[Packet[Any]]:
    found: list[Packet[Any]] = []
    for packet in container.demux(stream):
        if not packet.size:
            continue
        time = packet.pts if packet.pts is not None else packet.dts
        if found or (packet.is_keyframe and time == begin):
            found.append(packet)
            if len(found) == count:
                break
    return found


def _from_start(path: Path, first: int, last: int) -> list[Packet[Any]]:
    with open_media(path) as container:
        packets = (packet for packet in container.demux(best_video(container, path.name)) if packet.size)
        return list(islice(packets, first, last))
