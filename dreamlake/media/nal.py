"""Which H.264 packets no other packet refers to: their NAL units have nal_ref_idc = 0 (ITU-T H.264, 7.4.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from av.packet import Packet

__all__ = ["droppable_test"]

_SLICES = range(1, 6)
_START = b"\x00\x00\x01"


def droppable_test(codec: str, extradata: bytes | None) -> Callable[[Packet[Any]], bool]:
    """A test for packets that can be left out without any other picture changing.

    Args:
        codec: FFmpeg's name of the codec; for all but ``h264`` nothing is known to be droppable.
        extradata: of the stream; an avcC box says how long the NAL units' lengths are, otherwise they are in
            Annex B's byte-stream form.
    """
    if codec != "h264":
        return lambda _: False
    if extradata and extradata[0] == 1 and len(extradata) > 4:
        length_size = (extradata[4] & 3) + 1
        return lambda packet: _unreferenced(_length_prefixed(memoryview(packet), length_size))
    return lambda packet: _unreferenced(_byte_stream(bytes(packet)))


def _unreferenced(headers: Iterator[int]) -> bool:
    """Whether there are slices and none of them is referred to, from the NAL units' first bytes."""
    slices = [header for header in headers if header & 0x1F in _SLICES]
    return bool(slices) and not any(header >> 5 & 3 for header in slices)


def _length_prefixed(data: memoryview, length_size: int) -> Iterator[int]:
    at = 0
    while at + length_size < len(data):
        length = int.from_bytes(data[at : at + length_size], "big")
        if not length:
            return  # no unit is empty: these are zeros that stand for a payload
        yield data[at + length_size]
        at += length_size + length


def _byte_stream(data: bytes) -> Iterator[int]:
    at = data.find(_START)
    while 0 <= at < len(data) - 3:
        yield data[at + 3]
        at = data.find(_START, at + 3)
