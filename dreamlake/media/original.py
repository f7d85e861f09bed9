"""Reading a file where it lies, without a lake: the same index and the same packets, by seeking in the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from av.packet import Packet

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
    begin = int(scanned.demuxed_pts[first])
    found: list[Packet[Any]] = []
    with open_media(path) as container:
        stream = best_video(container, path.name)
        if first:
            container.seek(begin, stream=stream, backward=True)
        for packet in container.demux(stream):
            if not packet.size:
                continue
            # A seek lands on the key packet itself or on an earlier one.
            time = packet.pts if packet.pts is not None else packet.dts
            if not found and not (packet.is_keyframe and time == begin) and first:
                continue
            found.append(packet)
            if len(found) == last - first:
                break
        extradata = stream.codec_context.extradata
    if len(found) != last - first:
        raise IntegrityError(f"{path.name}: changed since it was opened")
    number_packets(found, first, index)
    return StoredPackets(found, first, extradata, sum(packet.size for packet in found))
