"""Parameters that change on the way, and packets that hold more or less than a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags
from av.packet import Packet, PacketSideData
from av.video.codeccontext import VideoCodecContext

from tests.corpus.gops import QUIET
from tests.corpus.traps import SIZE, X264, film, frames_of, remux, trap

RATE = 30
NEW_EXTRADATA = 1  # FFmpeg's number of this side data
RAW = {"libx264": "h264", "libx265": "hevc"}


def _encoder(codec: str, options: dict[str, str], size: tuple[int, int]) -> VideoCodecContext:
    encoder = av.VideoCodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = *size, "yuv420p"
    encoder.framerate, encoder.time_base, encoder.options = Fraction(RATE), Fraction(1, RATE), options
    return encoder


def _packets(encoder: VideoCodecContext, size: tuple[int, int], first: int, count: int) -> Iterator[Packet]:
    for number, frame in enumerate(frames_of(count, size, first), first):
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def joined(path: Path, codec: str, *parts: tuple[dict[str, str], tuple[int, int]], count: int = 30) -> None:
    """One stream out of several encoders, which repeat their parameter sets at every key frame."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=RATE, options=parts[0][0])
        stream.width, stream.height = parts[0][1]
        stream.pix_fmt = "yuv420p"
        for number, (options, size) in enumerate(parts):
            for packet in _packets(_encoder(codec, options, size), size, number * count, count):
                packet.stream = stream
                output.mux(packet)


PLAIN = {**X264, "g": "10", "bf": "0"}
OTHER = {**PLAIN, "preset": "medium", "refs": "4", "bf": "0", "crf": "30", "profile": "main"}
HEADERS = f"{QUIET}:keyint=10:bframes=0:repeat-headers=1"
ONCE = f"{QUIET}:keyint=10:bframes=0"
X265_ONCE = {"preset": "ultrafast", "x265-params": ONCE}
X265 = {"preset": "ultrafast", "x265-params": HEADERS}
X265_OTHER = {**X265, "preset": "medium", "x265-params": f"{HEADERS}:ref=4:ctu=16:min-cu-size=8"}


@trap(".ts")
def parameters_change_ts(path: Path) -> None:
    """Another encoder goes on in the midst, with other parameter sets of the same size and number."""
    joined(path, "libx264", (PLAIN, SIZE), (OTHER, SIZE), (PLAIN, SIZE), count=40)


@trap(".mkv")
def parameters_change_mkv(path: Path) -> None:
    """The same in Matroska, whose header knows the first ones only."""
    joined(path, "libx264", (PLAIN, SIZE), (OTHER, SIZE), (PLAIN, SIZE), count=40)


@trap(".mkv")
def parameters_change_hevc(path: Path) -> None:
    """The same in HEVC."""
    joined(path, "libx265", (X265, SIZE), (X265_OTHER, SIZE), (X265, SIZE), count=40)


@trap(".mkv")
def parameters_change_once(path: Path) -> None:
    """The parameter sets of a new encoder come with its first picture and never again."""
    _joined_once(path, "libx264", PLAIN, OTHER, PLAIN)


@trap(".mp4")
def parameters_change_once_mp4(path: Path) -> None:
    """The same in MP4."""
    _joined_once(path, "libx264", PLAIN, OTHER, PLAIN)


@trap(".mkv")
def parameters_change_once_hevc(path: Path) -> None:
    """The same in HEVC."""
    _joined_once(
        path, "libx265", X265_ONCE, {**X265_OTHER, "x265-params": f"{ONCE}:ref=4:ctu=16:min-cu-size=8"}, X265_ONCE
    )


def _joined_once(path: Path, codec: str, *parts: dict[str, str]) -> None:
    # Raw, because a muxer takes packets in the byte-stream form only where the parameter sets are in it too.
    first = film(path.with_name(f"first-{path.stem}.{codec[3:]}"), codec, parts[0], form=RAW[codec])
    with av.open(str(first)) as original, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(original.streams.video[0], opaque=True)
        for number, options in enumerate(parts):
            encoder = _encoder(codec, options, SIZE)
            encoder.flags |= Flags.global_header
            for at, packet in enumerate(_packets(encoder, SIZE, number * 40, 40)):
                new = Packet((encoder.extradata or b"") * (at == 0 and number > 0) + bytes(packet))
                new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
                new.is_keyframe, new.stream = packet.is_keyframe, stream
                output.mux(new)


def with_two_descriptions(path: Path) -> Path:
    """An MP4 whose second half has a sample description of its own."""
    parts = [film(path.with_name(f"{n}-{path.name}"), options=options) for n, options in enumerate((PLAIN, OTHER))]
    with av.open(str(parts[0])) as one, av.open(str(parts[1])) as two, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(one.streams.video[0], opaque=True)
        begin = 0
        for original in (one, two):
            packets = [packet for packet in original.demux(video=0) if packet.size]
            if original is two:
                extradata = two.streams.video[0].codec_context.extradata or b""
                news = PacketSideData(NEW_EXTRADATA, len(extradata))
                news.update(extradata)
                news.to_packet(packets[0])
            for packet in packets:
                packet.pts, packet.dts, packet.stream = packet.pts + begin, packet.dts + begin, stream
                end = packet.pts + packet.duration
                output.mux(packet)
            begin = end
    return path


@trap(".avi", transcoded=True)
def mpeg4_packed(path: Path) -> None:
    """DivX's packed bitstream: a picture and the B picture before it in one chunk, and then an empty one."""
    whole = film(path.with_name(f"whole-{path.stem}.avi"), "mpeg4", {"b": "4M", "bf": "1", "g": "12"}, count=41)
    with av.open(str(whole)) as original:
        packets = [bytes(packet) for packet in original.demux(video=0) if packet.size]
    chunks = [*_packed(packets)]
    packed = iter(chunks)
    assert len(chunks) == len(packets)
    user_data = b"\0\0\1\xb2DivX503b1393p"

    def edit(number: int, packet: Packet) -> Iterable[Packet]:
        data = next(packed)
        if number == 0:
            at = data.index(b"\0\0\1\xb6")
            data = data[:at] + user_data + data[at:]
        new = Packet(data)
        new.pts, new.dts, new.time_base = number, number, Fraction(1, RATE)
        new.is_keyframe = packet.is_keyframe
        return [new]

    remux(whole, path, edit)


def _packed(packets: list[bytes]) -> Iterator[bytes]:
    """P and the B that follows it together; where the B was, a picture that says that it is not coded."""
    at = 0
    while at < len(packets):
        if at + 1 < len(packets) and _is_b(packets[at + 1]):
            yield packets[at] + packets[at + 1]
            yield b"\0\0\1\xb6\x51\x7f"
            at += 2
        else:
            yield packets[at]
            at += 1


def _is_b(packet: bytes) -> bool:
    return packet[packet.index(b"\0\0\1\xb6") + 4] >> 6 == 2
