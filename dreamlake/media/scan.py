"""Walking the packets of a file once: what is in it, in decode order, without decoding anything."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from av.packet import Packet, PacketSideData
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from dreamlake.core.frameindex import DROPPABLE, KEY, LEADING, SECOND_FIELD, FrameIndex, IndexHeader
from dreamlake.core.segments import decode_times, plan_segments
from dreamlake.errors import MediaError
from dreamlake.media.container import best_video, is_listed, open_media
from dreamlake.media.files import MediaFile
from dreamlake.media.nal import READS, Picture, picture_reader

__all__ = ["Scan", "check_video", "scan"]

UNSEEN = Picture()

# Matrix coefficients of ITU-T H.273 that FFmpeg's scaler refuses.
NOT_CONVERTED = {
    **{number: f"matrix {number}, which is reserved" for number in (3, *range(15, 256))},
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE 2085",
    14: "ICtCp",
    12: "derived from the primaries",
    13: "derived from the primaries, with constant luminance",
}


@dataclass(frozen=True, eq=False)
class Scan:
    """What walking a file found.

    Attributes:
        index: of the file, cut into the segments it will have; their digests are not known yet.
        packet_bytes: (P,) size of each video packet.
        packet_pts: (P,) presentation times in decode order.
        packet_dts: (P,) decoding times, made here because containers lack them or have them wrong.
        demuxed_pts: (P,) the times that the demuxer gives, by which packets are found again in the file.
        begin: seconds of the earliest decoding time of any stream; below zero where frames are reordered.
        audio_codec: of the first audio stream; None when there is none.
        both_fields: whether packets hold two fields each, which a transport stream would take apart.
        extradata: that a decoder of these packets needs first.
        changes: other extradata that holds from a packet on, by its number, where the file says so beside the packets.
        packet_pos: (P,) where the demuxer found each packet, in bytes from the beginning of the file.
        access: how packets are found again: ``listed`` ones lie at their position as they are; otherwise they are
            demuxed, from the ``position`` of the first on, or from its ``time``.
        keys_unseen: whether key frames are where the file says, and nobody looked whether they are.
    """

    index: FrameIndex
    packet_bytes: NDArray[np.int64]
    packet_pts: NDArray[np.int64]
    packet_dts: NDArray[np.int64]
    demuxed_pts: NDArray[np.int64]
    begin: Fraction
    audio_codec: str | None
    both_fields: bool
    extradata: bytes | None
    changes: dict[int, bytes]
    packet_pos: NDArray[np.int64]
    access: Literal["listed", "position", "time"]
    keys_unseen: bool


def check_video(path: Path) -> None:
    """Make sure that a file is a video that can be read to its end, without reading all of it.

    Raises:
        MediaError: not a video, no video stream, cut short, or its first frame does not decode.
    """
    size = path.stat().st_size
    with open_media(path) as container:
        stream = best_video(container, path.name)
        last = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    if last > size:
        raise MediaError(f"{path.name}: cut short: its frames reach to byte {last}, and the file has {size}")
    _first_frame(path)


def _first_frame(path: Path | MediaFile) -> VideoFrame:
    """The first picture: what a decoder knows and the container does not say."""
    with open_media(path) as container:
        for frame in container.decode(best_video(container, path.name)):
            if not frame.format.is_rgb and frame.colorspace in NOT_CONVERTED:
                name = NOT_CONVERTED[frame.colorspace]
                raise MediaError(f"{path.name}: its colours are coded as {name}, which cannot be converted to RGB yet")
            return frame
    raise MediaError(f"{path.name}: not one frame can be decoded")


def scan(path: Path | MediaFile) -> Scan:
    """Walk all packets of a file and index every displayed frame.

    Raises:
        MediaError: not a video, damaged, or cut short.
        FileChangedError: the file changed meanwhile; a path is not checked for that.
    """
    pts: list[int] = []
    durations: list[int] = []
    sizes: list[int] = []
    keys: list[bool] = []
    shown: list[bool] = []
    pictures: list[Picture] = []
    positions: list[int] = []
    changes: dict[int, bytes] = {}
    begin = Fraction(0)
    first = _first_frame(path)
    with open_media(path, skim=True) as container:
        stream = best_video(container, path.name)
        access: Literal["listed", "position", "time"] = "listed" if is_listed(stream) else "time"
        audio = next(iter(container.streams.audio), None)
        extradata = stream.codec_context.extradata
        read = picture_reader(stream.codec_context.name, extradata)
        for packet in container.demux([s for s in (stream, audio) if s is not None]):
            if packet.stream is not stream:
                begin = min(begin, (packet.dts or 0) * Fraction(packet.time_base))
                continue
            if not packet.size:
                continue
            if packet.is_corrupt:
                raise MediaError(f"{path.name}: damaged or cut short at frame {len(pts)}")
            if packet.has_sidedata("new_extradata") and (changes or _new_extradata(packet) != extradata):
                if isinstance(path, Path):
                    # A decoder that begins further on would be given those of the beginning.
                    raise MediaError(f"{path.name}: its parameters change at frame {len(pts)}, which is not read yet")
                changes[len(pts)] = _new_extradata(packet)
            # Zeros stand for what was not fetched: the file says where key frames are, and nothing else is known.
            picture = read(packet) if any(memoryview(packet)[:8]) else UNSEEN
            time = packet.pts if packet.pts is not None else packet.dts
            if picture.second_field and pts:
                time = pts[-1]
                durations[-1] = 0  # of a field alone, in some containers
            if time is None:
                raise MediaError(f"{path.name}: frame {len(pts)} has no time")
            pts.append(time)
            durations.append(packet.duration or 0)
            sizes.append(packet.size)
            shown.append(not packet.is_discard and not picture.second_field)
            keys.append(packet.is_keyframe)
            pictures.append(picture)
            positions.append(-1 if packet.pos is None else packet.pos)
        # The header's own count would be of no use here: it counts what an edit list leaves out.
        expected = sum(1 for entry in stream.index_entries if entry.size) if "mp4" in container.format.name else 0
        if expected > len(pts):
            raise MediaError(f"{path.name}: cut short: {len(pts)} of {expected} frames are there")
        demuxed, packet_bytes = np.array(pts, np.int64), np.array(sizes, np.int64)
        packet_pts, displayed = demuxed.copy(), np.array(shown, np.bool_)
        packet_flags = _flags(pictures, np.array(keys, np.bool_))
        unsorted = bool(stream.codec_context.has_b_frames) and bool((np.diff(demuxed) >= 0).all())
        if (container.format.name == "avi" or unsorted) and not all(keys):
            # An AVI has no presentation times, and neither has an MP4 that was made from bare packets: they repeat the
            # decoding times, and only a decoder knows the order.
            order = _display_order(path)
            packet_pts[order] = np.sort(packet_pts[order])
            displayed[:] = False
            displayed[order] = True
        _mark_leading(packet_pts, packet_flags, np.array([picture.alone for picture in pictures], np.bool_))
        _hide_undecodable(path, packet_flags, displayed)
        if not displayed.any():
            raise MediaError(f"{path.name}: holds no frames")
        packet_dts = decode_times(packet_pts)
        begin = min(begin, int(packet_dts[0]) * Fraction(stream.time_base or 1))
        change = bool(changes) or any(picture.changed for picture in pictures)
        index = _index(stream, first, packet_pts, np.array(durations), packet_flags, displayed, change)
        index = _cut(index, packet_pts, packet_bytes)
        if container.format.name == "mpegts":
            access = "position"  # FFmpeg seeks there by decoding times, which scanning does not keep
        if min(positions) < 0:
            access = "time"
        return Scan(
            index=index,
            packet_bytes=packet_bytes,
            packet_pts=packet_pts,
            packet_dts=packet_dts,
            demuxed_pts=demuxed,
            begin=begin,
            audio_codec=audio.codec.canonical_name if audio else None,
            both_fields=any(picture.both_fields for picture in pictures),
            extradata=extradata,
            changes=changes,
            packet_pos=np.array(positions, np.int64),
            access=access,
            keys_unseen=any(picture is UNSEEN for picture in pictures) and index.header.codec in READS,
        )


def _new_extradata(packet: Packet[Any]) -> bytes:
    return bytes(PacketSideData.from_packet(packet, "new_extradata"))


def _flags(pictures: list[Picture], keys: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """What the index says of each packet; the leading ones are not marked yet."""
    unseen = any(picture is UNSEEN for picture in pictures)
    entry, referred, second = (
        np.array([getattr(picture, name) for picture in pictures], np.bool_)
        for name in ("entry", "referred", "second_field")
    )
    layer = np.array([picture.layer for picture in pictures])
    # A field is not left out without the other one, and the highest sub-layer is referred to by no higher one.
    paired = second | np.append(second[1:], False)
    droppable = ~referred & ~paired & (layer == layer.max(initial=0)) & (not unseen)
    if any(picture.packed for picture in pictures):
        entry[1:] = False  # what is in a packet depends on the packets before it
    flags: NDArray[np.uint8] = (
        KEY * (keys & entry).astype(np.uint8) + DROPPABLE * droppable + SECOND_FIELD * second
    ).astype(np.uint8)
    return flags


def _display_order(path: Path | MediaFile, packets: int | None = None) -> list[int]:
    """The packets, of the first ``packets``, that decode to a picture, in the order in which the pictures are shown."""
    order: list[int] = []
    with open_media(path) as container:
        stream = best_video(container, path.name)
        number = 0
        for packet in container.demux(stream):
            if packet.size and number == packets:
                order += _numbers(stream.codec_context.decode(None))
                break
            if packet.size:
                packet.pts = packet.dts = number
                number += 1
            order += _numbers(stream.codec_context.decode(packet if packet.size else None))
    return order


def _numbers(frames: list[VideoFrame]) -> list[int]:
    return [frame.pts for frame in frames if frame.pts is not None]


def _hide_undecodable(path: Path | MediaFile, flags: NDArray[np.uint8], shown: NDArray[np.bool_]) -> None:
    """A file that was cut out of a longer one begins with packets that refer to what is gone: ask a decoder which."""
    keys = np.flatnonzero(flags & KEY)
    second = int(keys[1]) if len(keys) > 1 else len(flags)
    if not flags[0] & KEY or (flags[:second] & LEADING).any():
        decoded = np.zeros(len(flags), np.bool_)
        decoded[_display_order(path, second)] = True
        shown[:second] &= decoded[:second]


def _index(
    stream: VideoStream,
    first: VideoFrame,
    pts: NDArray[np.int64],
    durations: NDArray[np.int64],
    flags: NDArray[np.uint8],
    shown: NDArray[np.bool_],
    parameters_change: bool,
) -> FrameIndex:
    """The index of the whole file as one segment; arrays are in decode order."""
    context = stream.codec_context
    displayed = np.flatnonzero(shown)
    frame_packet = displayed[np.argsort(pts[displayed], kind="stable")]
    frame_pts = pts[frame_packet]
    end = int(frame_pts[-1]) + _last_duration(frame_pts, int(durations[frame_packet[-1]]), stream)
    time_base = Fraction(stream.time_base or Fraction(1, 90_000))
    fps = _fps(len(frame_pts), (end - int(frame_pts[0])) * time_base, stream.average_rate)
    header = IndexHeader(
        codec=context.codec.canonical_name,
        width=first.width,  # a container may have another size, or none
        height=first.height,
        rotation=-first.rotation // 90 * 90 % 360,
        color_space=first.colorspace,
        color_range=first.color_range,
        pix_fmt=first.format.name,
        codec_tag=_codec_tag(context),
        bits_per_pixel=context.bits_per_coded_sample,
        parameters_change=parameters_change,
        time_base=(time_base.numerator, time_base.denominator),
        end_pts=end,
        fps=(fps.numerator, fps.denominator),
        has_audio=bool(stream.container.streams.audio),
    )
    return FrameIndex(
        header,
        frame_pts,
        frame_packet,
        flags,
        np.array([0, len(flags)], np.int64),
        np.zeros((0, 32), np.uint8),
        np.zeros(0, np.int64),
    )


def _codec_tag(context: VideoCodecContext) -> str | None:
    try:
        tag = context.codec_tag
    except UnicodeDecodeError:  # a number, and no letters
        return None
    return tag if tag.strip("\0") else None


def _cut(index: FrameIndex, pts: NDArray[np.int64], packet_bytes: NDArray[np.int64]) -> FrameIndex:
    keys = np.flatnonzero(index.packet_flags & KEY)
    if not len(keys) or keys[0] != 0:
        keys = np.concatenate([[0], keys])
    numerator, denominator = index.header.time_base
    starts = (pts[keys] - index.pts[0]) * numerator / denominator
    cuts = plan_segments(keys, starts, index.timeline.end, packet_bytes)
    return FrameIndex(
        index.header,
        index.pts,
        index.frame_packet,
        index.packet_flags,
        cuts,
        index.segment_sha256,
        index.segment_size,
    )


def _mark_leading(pts: NDArray[np.int64], flags: NDArray[np.uint8], alone: NDArray[np.bool_]) -> None:
    """Flag packets that follow a key packet and are shown before it: they may refer to the GOP before (open GOP)."""
    keys = np.flatnonzero(flags & KEY)
    if not len(keys):
        return
    nth = np.searchsorted(keys, np.arange(len(pts)), side="right") - 1
    after_key = nth >= 0
    leading = after_key & ~alone & (pts < pts[keys[np.maximum(nth, 0)]])
    flags[leading] |= LEADING


def _last_duration(pts: NDArray[np.int64], duration: int, stream: VideoStream) -> int:
    if duration > 0:
        return duration
    if len(pts) > 1:
        return max(1, int(np.median(np.diff(pts))))
    rate = stream.average_rate or Fraction(25)
    return max(1, round(1 / (rate * Fraction(stream.time_base or 1))))


def _fps(frames: int, seconds: Fraction, declared: Fraction | None) -> Fraction:
    """The declared rate where the frames bear it out to half a percent, else frames per second as counted."""
    counted = Fraction(frames) / seconds if seconds > 0 else Fraction(declared or 25)
    if declared and abs(declared - counted) <= counted / 200:
        return Fraction(declared)
    return counted.limit_denominator(1_000_000)
