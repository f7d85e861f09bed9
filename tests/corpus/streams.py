"""Containers, and what else is in them besides the video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from tests.corpus.gops import QUIET
from tests.corpus.times import B
from tests.corpus.traps import SIZE, X264, film, frames_of, remux, shifted, trap

FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"
Fill = Callable[[], Iterator[Packet]]


@trap(".mp4")
def fragmented(path: Path) -> None:
    """A fragment for each GOP."""
    film(path, options=B, count=100, muxer={"movflags": FRAGMENTED})


@trap(".mp4")
def fragmented_after_a_start(path: Path) -> None:
    """The first fragment is in the moov itself."""
    film(path, options=B, count=100, muxer={"movflags": "frag_keyframe"})


@trap(".mp4")
def fragmented_with_sidx(path: Path) -> None:
    """With an index of segments in front of each, by which jellyfin and FFmpeg once moved times."""
    film(path, options=B, count=100, muxer={"movflags": f"{FRAGMENTED}+dash"})


@trap(".mp4")
def fragmented_with_global_sidx(path: Path) -> None:
    """With one index in front of everything."""
    film(path, options=B, count=100, muxer={"movflags": f"{FRAGMENTED}+dash+global_sidx"})


@trap(".mp4")
def fragmented_open_gop(path: Path) -> None:
    """Open GOPs in fragments with an index: the first picture of a fragment is not the first that is shown."""
    options = {"g": "12", "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"}
    film(path, options=options, count=100, muxer={"movflags": f"{FRAGMENTED}+dash"})


@trap(".mp4")
def fragmented_by_frame(path: Path) -> None:
    """A fragment for each frame, as live streams have them."""
    film(path, options=B, muxer={"movflags": f"frag_every_frame+{FRAGMENTED}"})


@trap(".mp4")
def fragmented_late(path: Path) -> None:
    """Fragments whose times begin at 100 s."""
    whole = film(path.with_name(f"whole-{path.stem}.mkv"), options=B, count=100)
    remux(whole, path, shifted(Fraction(100)), muxer={"movflags": f"{FRAGMENTED}+frag_discont", "use_editlist": "0"})


@trap(".mp4")
def moov_in_front(path: Path) -> None:
    """The index first."""
    film(path, options=B, muxer={"movflags": "faststart"})


@trap(".mp4")
def moov_at_the_end(path: Path) -> None:
    """The index last."""
    film(path, options=B)


@trap(".mov")
def quicktime(path: Path) -> None:
    """QuickTime's own brand, with a track of timecode."""

    def timecode(stream: VideoStream) -> None:
        stream.metadata["timecode"] = "01:00:00:00"

    film(path, options=B, setup=timecode)


@trap(".mkv")
def mkv_live(path: Path) -> None:
    """Matroska as it is streamed: no cues to seek by, no lengths."""
    film(path, options=B, count=100, muxer={"live": "1"})


@trap(".mkv")
def mkv_no_lacing(path: Path) -> None:
    """Clusters of a single frame."""
    film(path, options=B, count=100, muxer={"cluster_time_limit": "1"})


@trap(".mkv")
def mkv_wrong_size(path: Path) -> None:
    """The header has another size than the pictures."""
    film(path, options=B)
    data = path.read_bytes()
    size = b"\xb0\x81" + bytes(SIZE[:1])  # PixelWidth, in a byte
    assert data.count(size) == 1
    path.write_bytes(data.replace(size, b"\xb0\x81\x40"))


@trap(".webm")
def webm(path: Path) -> None:
    """VP9 in WebM."""
    film(path, "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "15"})


@trap(".ts")
def m2ts(path: Path) -> None:
    """Packets of 192 bytes, as cameras write them."""
    film(path, options=B, count=100, muxer={"mpegts_m2ts_mode": "1"})


@trap(".ts")
def ts_hevc(path: Path) -> None:
    """HEVC in a transport stream, closed GOPs."""
    options = {"preset": "ultrafast", "x265-params": f"{QUIET}:keyint=20:open-gop=0"}
    film(path, "libx265", options, count=100)


# -- beside the video ------------------------------------------------------------------------------------------------


def _together(path: Path, *streams: Callable[[OutputContainer], Fill], **muxer: str) -> None:
    """Write streams, one after the other in the file's list, interleaved by time."""
    with av.open(str(path), "w", options=muxer) as output:
        fills = [stream(output) for stream in streams]
        packets = [packet for fill in fills for packet in fill()]
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            output.mux(packet)


def _video(count: int = 40, first: int = 0, size: tuple[int, int] = SIZE, delay: int = 0) -> Any:
    def add(output: OutputContainer) -> Fill:
        stream = output.add_stream("libx264", rate=30, options={**X264, **B})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"

        def fill() -> Iterator[Packet]:
            for number, frame in enumerate(frames_of(count, size, first)):
                frame.pts = number + delay
                yield from stream.encode(frame)
            yield from stream.encode(None)

        return fill

    return add


def _sound(seconds: float, delay: float = 0, codec: str = "aac") -> Any:
    def add(output: OutputContainer) -> Fill:
        stream = output.add_stream(codec, rate=48_000, layout="mono")

        def fill() -> Iterator[Packet]:
            stream.codec_context.open()
            size = stream.codec_context.frame_size
            for number in range(int(seconds * 48_000 / size)):
                sound = av.AudioFrame.from_ndarray(np.zeros((1, size), np.float32), format="fltp", layout="mono")
                sound.sample_rate, sound.pts = 48_000, number * size + round(delay * 48_000)
                yield from stream.encode(sound)
            yield from stream.encode(None)

        return fill

    return add


def _cover(output: OutputContainer) -> Fill:
    stream = output.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
    stream.disposition = Disposition.attached_pic

    def fill() -> Iterator[Packet]:
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
        yield from stream.encode(frame)
        yield from stream.encode(None)

    return fill


def _measurements(output: OutputContainer) -> Fill:
    stream = output.add_data_stream("klv")

    def fill() -> Iterator[Packet]:
        for number in range(30):
            packet = Packet(bytes([6, 14, 43, 52, number]) * 8)
            packet.stream, packet.time_base = stream, Fraction(1, 90_000)
            packet.pts = packet.dts = number * 9_000
            yield packet

    return fill


@trap(".mp4", stream=1)
def cover_first(path: Path) -> None:
    """The first stream is a cover picture: the tags that hold it are moved in front of the tracks."""
    _together(path, _video(), _cover)
    data = path.read_bytes()
    boxes = split_boxes(data)
    (moov,) = (box for box in boxes if box[4:8] == b"moov")
    parts = sorted(split_boxes(moov[8:]), key=lambda box: box[4:8] != b"udta")
    path.write_bytes(b"".join([box if box is not moov else moov[:8] + b"".join(parts) for box in boxes]))


def split_boxes(data: bytes) -> list[bytes]:
    """The boxes of an MP4, or of a box without its header."""
    boxes = []
    while data:
        size = int.from_bytes(data[:4], "big")
        boxes.append(data[:size])
        data = data[size:]
    return boxes


@trap(".mp4")
def cover_last(path: Path) -> None:
    """The last stream is a cover picture."""
    _together(path, _video(), _cover)


@trap(".mkv")
def cover_mkv(path: Path) -> None:
    """A cover picture as an attachment."""
    _together(path, _video(), _cover)


@trap(".mp4")
def two_videos(path: Path) -> None:
    """Two video streams: the first is the video."""
    _together(path, _video(first=0), _video(count=60, first=500, size=(128, 96)))


@trap(".mkv")
def two_videos_mkv(path: Path) -> None:
    """Two video streams and sound between them."""
    _together(path, _video(count=90), _sound(3), _video(count=60, first=500, size=(128, 96)))


@trap(".mp4")
def sound_longer(path: Path) -> None:
    """The sound goes on for two seconds when the pictures are over."""
    _together(path, _video(), _sound(3.5))


@trap(".mp4")
def sound_first(path: Path) -> None:
    """The sound begins a second before the pictures."""
    _together(path, _video(delay=30, count=70), _sound(3.4))


@trap(".mp4")
def sound_late(path: Path) -> None:
    """The sound begins a second after the pictures."""
    _together(path, _video(count=90), _sound(2, delay=1))


@trap(".ts")
def sound_ts(path: Path) -> None:
    """Pictures and sound in a transport stream."""
    _together(path, _sound(3), _video(count=90))


@trap(".ts")
def measurements_ts(path: Path) -> None:
    """A stream of data before the video, as drones send it."""
    _together(path, _measurements, _video(count=90))


@trap(".mkv")
def subtitles_mkv(path: Path) -> None:
    """A track of text before the video."""
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,000 --> 00:00:01,000\nfirst\n\n2\n00:00:01,000 --> 00:00:02,000\nsecond\n")

    with av.open(str(text)) as lines:

        def add(output: OutputContainer) -> Fill:
            stream = output.add_stream_from_template(lines.streams.subtitles[0])

            def fill() -> Iterator[Packet]:
                for packet in lines.demux():
                    if packet.size:
                        packet.stream = stream
                        yield packet

            return fill

        _together(path, add, _video(count=90))


# -- the way they are displayed --------------------------------------------------------------------------------------


def _turned(path: Path, turn: int, size: tuple[int, int] = SIZE) -> None:
    film(path, options=B, size=size, setup=lambda stream: stream.set_display_rotation(-turn))


@trap(".mp4")
def turned_90(path: Path) -> None:
    """A telephone held upright."""
    _turned(path, 90)


@trap(".mov")
def turned_180(path: Path) -> None:
    """A camera on its head."""
    _turned(path, 180)


@trap(".mp4")
def turned_270(path: Path) -> None:
    """A telephone on its head."""
    _turned(path, 270)


@trap(".mkv")
def turned_90_mkv(path: Path) -> None:
    """A display matrix in Matroska."""
    _turned(path, 90)


@trap(".mp4")
def pixels_not_square(path: Path) -> None:
    """Pixels twice as wide as they are high: they are given as they are stored."""
    film(path, options={**B, "aspect": "3:1", "x264-params": f"{B['x264-params']}:sar=2/1"})
