"""What a trap is, and what they are made with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from tests.clips import pictures
from tests.once import made_once
from tests.priority import ordinary_priority

X264 = {"preset": "ultrafast", "threads": "1"}
SIZE = (96, 64)
FRAMES = 40

Edit = Callable[[int, Packet], Iterable[Packet]]


@dataclass(frozen=True)
class Trap:
    """One file, and what is particular in how it is read.

    Attributes:
        name: of the trap.
        suffix: of the file.
        write: writes the file.
        stream: which of its video streams is the video.
        transcoded: whether a lake has to write its pictures anew.
    """

    name: str
    suffix: str
    write: Callable[[Path], object]
    stream: int = 0
    transcoded: bool = False

    @property
    def why(self) -> str:
        """What is particular about it."""
        return self.write.__doc__ or ""


TRAPS: dict[str, Trap] = {}


def trap(suffix: str, **particular: Any) -> Callable[[Callable[[Path], object]], Callable[[Path], object]]:
    """Register a function that writes a file under the function's name."""

    def register(write: Callable[[Path], object]) -> Callable[[Path], object]:
        name = write.__name__.replace("_", "-")
        assert name not in TRAPS
        TRAPS[name] = Trap(name, suffix, write, **particular)
        return write

    return register


def make(name: str, folder: Path) -> Path:
    """The file of a trap; it is written the first time."""
    path = folder / f"{name}{TRAPS[name].suffix}"
    return path if path.exists() else made_once(("trap", name), path, TRAPS[name].write)


def frames_of(count: int, size: tuple[int, int] = SIZE, first: int = 0) -> Iterator[VideoFrame]:
    """Pictures that carry their own number, as frames of PyAV."""
    for number, picture in enumerate(pictures(first + count, size)):
        if number >= first:
            yield VideoFrame.from_ndarray(picture, format="rgb24")


@ordinary_priority()
def film(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    count: int = FRAMES,
    size: tuple[int, int] = SIZE,
    rate: Fraction = Fraction(30),
    pix_fmt: str = "yuv420p",
    pts: Callable[[int], int] | None = None,
    base: Fraction | None = None,
    muxer: dict[str, str] | None = None,
    form: str | None = None,
    setup: Callable[[VideoStream], object] | None = None,
    frames: Iterable[VideoFrame] | None = None,
    edit: Edit | None = None,
) -> Path:
    """Encode a clip.

    Args:
        path: to write.
        codec: the encoder.
        options: of the encoder; for x264 the quickest preset without threads is added.
        count: how many frames.
        size: width and height in pixels.
        rate: frames per second.
        pix_fmt: of the encoded pictures.
        pts: when frame n is shown, in ``base``; n where it is not given.
        base: the unit of ``pts`` in seconds.
        muxer: its options.
        form: the container, where the suffix does not say it.
        setup: is given the stream before anything is encoded.
        frames: what to encode in place of numbered pictures.
        edit: is given the number of each packet and the packet, and says what is written for it.
    """
    base = base or 1 / rate
    with av.open(str(path), "w", form, options=muxer or {}) as output:
        stream = output.add_stream(
            codec, rate=rate, options={**(X264 if codec == "libx264" else {}), **(options or {})}
        )
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = base
        if setup:
            setup(stream)
        number = 0
        for at, frame in enumerate([*(frames or frames_of(count, size)), None]):
            if frame is not None:
                frame.pts, frame.time_base = pts(at) if pts else at, base
            for packet in stream.encode(frame):
                for written in edit(number, packet) if edit else [packet]:
                    output.mux(written)
                number += 1
    return path


def remux(
    source: Path,
    target: Path,
    edit: Edit | None = None,
    *,
    muxer: dict[str, str] | None = None,
    form: str | None = None,
    setup: Callable[[VideoStream], object] | None = None,
) -> Path:
    """The video packets of a file in a new one.

    Args:
        source: is read.
        target: is written.
        edit: is given the number of each packet and the packet, and says what is written for it.
        muxer: its options.
        form: the container, where the suffix does not say it.
        setup: is given the stream before anything is written.
    """
    with av.open(str(source)) as original, av.open(str(target), "w", form, options=muxer or {}) as output:
        stream = output.add_stream_from_template(original.streams.video[0], opaque=True)
        if setup:
            setup(stream)
        number = 0
        for packet in original.demux(video=0):
            if packet.size:
                for written in edit(number, packet) if edit else [packet]:
                    written.stream = stream
                    output.mux(written)
                number += 1
    return target


def shifted(seconds: Fraction) -> Edit:
    """An edit that moves all times."""

    def edit(_: int, packet: Packet) -> list[Packet]:
        ticks = round(seconds / packet.time_base)
        packet.pts += ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        return [packet]

    return edit
