"""Field-coded H.264, written by hand because FFmpeg has no encoder for it: every field is a picture of its own."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from numpy.typing import NDArray

from tests.clips import pictures
from tests.corpus.traps import trap

WIDTH, HEIGHT = 96, 64
TICK = 3600  # of 1/90000 s: 25 frames a second
GOP = 4  # frames


class _Writer:
    """Writes bits (ITU-T H.264, 7.2)."""

    def __init__(self) -> None:
        self._bits: list[int] = []

    def u(self, count: int, value: int) -> None:
        self._bits += [value >> at & 1 for at in range(count - 1, -1, -1)]

    def ue(self, value: int) -> None:
        length = (value + 1).bit_length()
        self.u(2 * length - 1, value + 1)

    def se(self, value: int) -> None:
        self.ue(2 * value - 1 if value > 0 else -2 * value)

    def align(self) -> None:
        self._bits += [0] * (-len(self._bits) % 8)

    def samples(self, values: NDArray[np.uint8]) -> None:
        self._bits += np.unpackbits(values.ravel()).tolist()

    def unit(self, header: int) -> bytes:
        """The NAL unit in byte-stream form, without anything in it that looks like a start code."""
        self.u(1, 1)
        self.align()
        out = bytearray()
        zeros = 0
        for byte in np.packbits(np.array(self._bits, np.uint8)).tobytes():
            if zeros == 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes([header]) + bytes(out)


def _parameter_sets() -> bytes:
    sps = _Writer()
    for count, value in ((8, 77), (8, 0), (8, 30)):  # Main profile, which has fields
        sps.u(count, value)
    for value in (0, 0, 0, 0):  # number; 4 bits of frame_num; order by 4 bits
        sps.ue(value)
    sps.ue(2)  # reference frames
    sps.u(1, 0)
    sps.ue(WIDTH // 16 - 1)
    sps.ue(HEIGHT // 32 - 1)
    for value in (0, 0, 1, 0, 0):  # fields, no MBAFF, direct 8x8, no cropping, no VUI
        sps.u(1, value)
    pps = _Writer()
    pps.ue(0)
    pps.ue(0)
    pps.u(2, 0)
    for value in (0, 0, 0):
        pps.ue(value)
    pps.u(3, 0)
    for value in (0, 0, 0):
        pps.se(value)
    pps.u(3, 0b100)  # the deblocking filter can be turned off
    return sps.unit(0x67) + pps.unit(0x68)


def _field(planes: list[NDArray[np.uint8]] | None, frame: int, parity: int, *, referred: bool) -> bytes:
    """A field: raw samples (I_PCM), or nothing but skipped blocks that repeat the field before."""
    number = frame % GOP
    idr = number == 0 and parity == 0
    slices = _Writer()
    slices.ue(0)
    slices.ue(7 if planes is not None else 5)  # I, P
    slices.ue(0)
    slices.u(4, number)
    slices.u(2, 0b10 | parity)
    if idr:
        slices.ue(frame // GOP % 2)
    slices.u(4, (2 * number + parity) % 16)
    if planes is None:
        slices.u(1, 0)  # as many references as the parameter set says
        slices.u(1, 0)  # in their order
    if referred:
        slices.u(2 if idr else 1, 0)
    slices.se(0)
    slices.ue(1)  # no deblocking
    blocks = WIDTH // 16 * HEIGHT // 32
    if planes is None:
        slices.ue(blocks)
    else:
        for block in range(blocks):
            row, column = divmod(block, WIDTH // 16)
            slices.ue(25)
            slices.align()
            for plane, side in zip(planes, (16, 8, 8), strict=True):
                slices.samples(plane[row * side : (row + 1) * side, column * side : (column + 1) * side])
    return slices.unit((0x65 if idr else 0x41) if referred else 0x01)


def fields(count: int) -> Iterator[tuple[int, bytes]]:
    """Frame number and bytes of each field, in decode order."""
    for number, picture in enumerate(pictures(count, (WIDTH, HEIGHT))):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        yuv = [np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in frame.planes]
        for parity in (0, 1):
            head = _parameter_sets() if number % GOP == 0 and parity == 0 else b""
            # The second field of every third frame repeats the first one.
            planes = None if parity and number % 3 == 2 else [plane[parity::2] for plane in yuv]
            yield number, head + _field(planes, number, parity, referred=True)


def _write(path: Path, count: int, *, together: bool = False) -> None:
    """A packet for each field, or one for both."""
    units = list(fields(count))
    if together:
        units = [(number, units[2 * number][1] + units[2 * number + 1][1]) for number in range(count)]
    raw = path.with_name(f"raw-{path.stem}.h264")
    raw.write_bytes(units[0][1])
    with av.open(str(raw)) as original, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(original.streams.video[0], opaque=True)
        for at, (number, data) in enumerate(units):
            packet = Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 90_000)
            packet.pts = number * TICK + TICK
            packet.dts = number * TICK + (0 if together else at % 2 * TICK // 2)
            packet.is_keyframe = number % GOP == 0 and (together or at % 2 == 0)
            output.mux(packet)


@trap(".ts")
def fields_ts(path: Path) -> None:
    """Two packets for each frame, in a transport stream."""
    _write(path, 60)


@trap(".mkv")
def fields_mkv(path: Path) -> None:
    """Two packets for each frame in Matroska."""
    _write(path, 60)


@trap(".mp4")
def fields_mp4(path: Path) -> None:
    """Two samples for each frame in MP4."""
    _write(path, 60)


@trap(".mp4")
def fields_together(path: Path) -> None:
    """One sample for both fields."""
    _write(path, 60, together=True)
