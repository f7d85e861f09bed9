"""Reading a file where it lies, without a lake: the same index and the same packets, out of the original."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

import av.error
from av.container import InputContainer
from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal
from av.video.stream import VideoStream

from dreamlake.core.frameindex import KEY
from dreamlake.core.ranges import BLOCK, plan_ranges
from dreamlake.errors import IntegrityError, MediaError
from dreamlake.media.container import best_video, open_media
from dreamlake.media.files import MediaFile
from dreamlake.media.nal import picture_reader
from dreamlake.media.scan import Scan
from dreamlake.media.stored import StoredPackets, number_packets

__all__ = ["read_segment"]

Packets: TypeAlias = "list[Packet[Any]]"


def read_segment(file: MediaFile, scanned: Scan, segment: int) -> StoredPackets:
    """The packets of one segment, straight from the original.

    Args:
        file: that holds it.
        scanned: what ``scan`` found in it.
        segment: which one; segments begin at key frames.

    Raises:
        FileChangedError: the file is not the one that was scanned.
        IntegrityError: other packets are in it than the scan found.
        MediaError: it cannot be read.
    """
    first, last = (int(number) for number in scanned.index.segment_packet[segment : segment + 2])
    read = _listed if scanned.access == "listed" else _demuxed
    found = read(file, scanned, first, last)
    if [packet.size for packet in found] != scanned.packet_bytes[first:last].tolist():
        raise IntegrityError(f"{file.name}: segment {segment} holds other packets than were found when it was opened")
    number_packets(found, first, scanned.index)
    if scanned.changes:
        _tell_changes(found, first, scanned)
    nbytes = sum(packet.size for packet in found)
    return StoredPackets(found, first, scanned.extradata, nbytes)


def _tell_changes(packets: Packets, first: int, scanned: Scan) -> None:
    """Have every packet that decoding may begin with say what extradata holds, whatever the decoder did before."""
    numbers = sorted(scanned.changes)
    new: Any = PacketSideData  # takes a type and a size, which its stub does not say
    for number, packet in enumerate(packets, first):
        if packet.is_keyframe or number in scanned.changes:
            nth = bisect_right(numbers, number)
            extradata = scanned.changes[numbers[nth - 1]] if nth else scanned.extradata or b""
            side = new(packet_sidedata_type_from_literal("new_extradata"), len(extradata))
            side.update(extradata)
            packet.set_sidedata(side)


def _listed(file: MediaFile, scanned: Scan, first: int, last: int) -> Packets:
    """Packets whose places are known, without a demuxer."""
    begins = scanned.packet_pos[first:last]
    ends = begins + scanned.packet_bytes[first:last]
    found: Packets = [Packet() for _ in range(last - first)]
    for begin, end, numbers in plan_ranges(begins, ends, file.gap):
        data = file.read(begin, end)
        for number in numbers:
            piece = data[begins[number] - begin : ends[number] - begin]
            # A packet made of bytes borrows them, and decoders read on into the zeros that have to follow a packet.
            found[number] = Packet(len(piece))
            found[number].update(piece)
    read = picture_reader(scanned.index.header.codec, scanned.extradata)
    for packet, flags in zip(found, scanned.index.packet_flags[first:last], strict=True):
        packet.is_keyframe = bool(flags & KEY)
        if scanned.keys_unseen and packet.is_keyframe:
            picture = read(packet)
            if not picture.entry or picture.changed:
                raise MediaError(f"{file.name}: does not hold a key frame where it says; download it, or upload it")
    return found


def _demuxed(file: MediaFile, scanned: Scan, first: int, last: int) -> Packets:
    """Packets by seeking in the container."""
    begin = int(scanned.demuxed_pts[first])
    positions = scanned.packet_pos[first:last]
    if positions.min() >= 0:
        # A demuxer begins a little earlier, and reads on until it knows that the last packet has ended.
        end = int(positions.max() + scanned.packet_bytes[last - 1])
        file.prepare(max(0, int(positions.min()) - BLOCK), end + BLOCK)
    sizes = scanned.packet_bytes[first:last].tolist()
    with open_media(file) as container:
        stream = best_video(container, file.name)
        for seek in _seeks(container, stream, scanned, first):
            with suppress(av.error.FFmpegError):
                seek()
            found = _after_seek(container, stream, begin, last - first)
            if [packet.size for packet in found] == sizes:
                return found
    with open_media(file) as container:
        packets = (packet for packet in container.demux(best_video(container, file.name)) if packet.size)
        return list(islice(packets, first, last))


def _seeks(container: InputContainer, stream: VideoStream, scanned: Scan, first: int) -> Iterator[Callable[[], None]]:
    """Ways to go to a packet, or a little before it; the first packets are found without.

    A seek goes by decoding times in some containers and by presentation times in others, and some find nothing: what
    lies there is the proof.
    """
    if not first:
        return
    if scanned.access == "position":
        yield partial(container.seek, int(scanned.packet_pos[first]), unsupported_byte_offset=True)
    for number in (first, int(scanned.index.packet_entry[first - 1])):
        if number:
            yield partial(container.seek, int(scanned.demuxed_pts[number]), stream=stream, backward=True)


def _after_seek(container: InputContainer, stream: VideoStream, begin: int, count: int) -> Packets:
    found: Packets = []
    for packet in container.demux(stream):
        if not packet.size:
            continue
        time = packet.pts if packet.pts is not None else packet.dts
        if found or (packet.is_keyframe and time == begin):
            found.append(packet)
            if len(found) == count:
                break
    return found
