"""Reading a file where it lies, without a lake: the same index and the same packets, out of the original."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, TypeAlias

from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal

from dreamlake.core.frameindex import KEY
from dreamlake.core.ranges import BLOCK, plan_ranges
from dreamlake.errors import IntegrityError, MediaError
from dreamlake.media.container import best_video, open_media
from dreamlake.media.files import MediaFile
from dreamlake.media.keyframes import begins_decoding
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
    return StoredPackets(found, first, scanned.extradata, nbytes, changing=bool(scanned.changes))


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
    for packet, flags in zip(found, scanned.index.packet_flags[first:last], strict=True):
        packet.is_keyframe = bool(flags & KEY)
        if scanned.keys_unseen and packet.is_keyframe and not begins_decoding(bytes(packet), scanned.extradata):
            raise MediaError(f"{file.name}: calls a frame a key frame that is none; download it, or upload it")
    return found


def _demuxed(file: MediaFile, scanned: Scan, first: int, last: int) -> Packets:
    """Packets by seeking in the container."""
    begin = int(scanned.demuxed_pts[first])
    found: Packets = []
    positions = scanned.packet_pos[first:last]
    if positions.min() >= 0:
        # A demuxer begins a little earlier, and reads on until it knows that the last packet has ended.
        end = int(positions.max() + scanned.packet_bytes[last - 1])
        file.prepare(max(0, int(positions.min()) - BLOCK), end + BLOCK)
    with open_media(file) as container:
        stream = best_video(container, file.name)
        if first and scanned.access == "position":
            container.seek(int(scanned.packet_pos[first]), unsupported_byte_offset=True)
        elif first:
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
    return found
