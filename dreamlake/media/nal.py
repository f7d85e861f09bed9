"""What packets say of their pictures, and containers do not (H.264 and HEVC: the ITU's 7.3 and 7.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from av.packet import Packet

__all__ = ["Picture", "picture_reader"]

_START = b"\x00\x00\x01"
_VOP = b"\x00\x00\x01\xb6"  # begins a picture of MPEG-4 part 2
_HEADER_BYTES = 40  # hold the part of a slice header that is read, emulation prevention included
_RECOVERY_POINT = 6  # type of the SEI message


class Picture(NamedTuple):
    """What a packet holds.

    Attributes:
        entry: whether decoding may begin with it, and everything shown after it comes out exactly.
        referred: whether other pictures may refer to it. Unknown counts as yes.
        layer: temporal sub-layer; a picture that its own layer does not refer to may be referred to by higher ones.
        alone: whether it decodes from the key packet before it although it is shown before that one.
        second_field: whether it completes the picture that the packet before it began.
        both_fields: whether it holds the two fields of a picture, which are coded apart.
        packed: whether it holds two pictures, the second of which a decoder keeps for the next packet (DivX).
    """

    entry: bool = True
    referred: bool = True
    layer: int = 0
    alone: bool = False
    second_field: bool = False
    both_fields: bool = False
    packed: bool = False


def picture_reader(codec: str, extradata: bytes | None) -> Callable[[Packet[Any]], Picture]:
    """What reads packets of a stream, one after the other in decode order.

    Args:
        codec: FFmpeg's name of the codec; of all but ``h264``, ``hevc`` and ``mpeg4`` nothing is known.
        extradata: of the stream; an avcC or hvcC box says how long the NAL units' lengths are, otherwise they are in
            Annex B's byte-stream form.
    """
    boxed = extradata is not None and len(extradata) > 22 and extradata[0] == 1
    if codec == "hevc":
        size = (extradata[21] & 3) + 1 if extradata and boxed else 0
        return lambda packet: _hevc(_units(packet, size))
    if codec == "h264":
        boxed = extradata is not None and len(extradata) > 6 and extradata[0] == 1
        size = (extradata[4] & 3) + 1 if extradata and boxed else 0
        reader = _H264(_parameter_sets(extradata) if extradata and boxed else _byte_stream(extradata or b""))
        return lambda packet: reader.picture(_units(packet, size))
    if codec == "mpeg4":
        return lambda packet: Picture(packed=bytes(packet).count(_VOP) > 1)
    known = Picture()
    return lambda _: known


def _units(packet: Packet[Any], length_size: int) -> Iterator[bytes | memoryview]:
    return _length_prefixed(memoryview(packet), length_size) if length_size else _byte_stream(bytes(packet))


def _length_prefixed(data: memoryview, length_size: int) -> Iterator[memoryview]:
    at = 0
    while at + length_size < len(data):
        begin = at + length_size
        at = begin + int.from_bytes(data[at:begin], "big")
        if at > begin:
            yield data[begin:at]


def _byte_stream(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    begin = data.find(_START) + 3
    while 3 <= begin < len(data):
        end = data.find(_START, begin)
        yield view[begin : end if end >= 0 else len(data)]
        begin = end + 3


def _parameter_sets(avcc: bytes) -> Iterator[memoryview]:
    """The sequence and picture parameter sets of an avcC box (ISO/IEC 14496-15, 5.3.3)."""
    view = memoryview(avcc)
    at = 6
    for count in (avcc[5] & 31, None):
        if count is None:
            if at >= len(avcc):
                return
            count, at = avcc[at], at + 1
        for _ in range(count):
            length = int.from_bytes(view[at : at + 2], "big")
            if length:
                yield view[at + 2 : at + 2 + length]
            at += 2 + length


# -- HEVC ------------------------------------------------------------------------------------------------------------


def _hevc(units: Iterable[bytes | memoryview]) -> Picture:
    for unit in units:
        kind = unit[0] >> 1 & 63
        if kind < 32 and len(unit) > 1:  # all slices of a picture have the same
            # RADL pictures are 6 and 7. The even ones below 16 are not referred to by their own sub-layer.
            return Picture(16 <= kind <= 21, kind > 14 or kind % 2 == 1, (unit[1] & 7) - 1, kind in (6, 7))
    return Picture(entry=False)


# -- H.264 -----------------------------------------------------------------------------------------------------------


class _Sps(NamedTuple):
    frame_num_bits: int
    colour_planes: bool
    fields: bool


class _H264:
    def __init__(self, parameter_sets: Iterable[bytes | memoryview]) -> None:
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, int] = {}
        self._open_field: tuple[int, int] | None = None  # frame_num and parity of a field that waits for its second
        for unit in parameter_sets:
            self._parameters(unit)

    def picture(self, units: Iterable[bytes | memoryview]) -> Picture:
        idr = recovers = referred = False
        parities: list[tuple[int, int] | None] = []
        for unit in units:
            kind = unit[0] & 31
            if kind in (7, 8):
                self._parameters(unit)
            elif kind == 6:
                recovers = recovers or _recovers(unit)
            elif 1 <= kind <= 5:
                idr = idr or kind == 5
                referred = referred or bool(unit[0] & 0x60)
                field = self._field(unit)
                if not parities or parities[-1] != field:
                    parities.append(field)
        second = len(parities) == 1 and self._is_second_field(parities[0])
        if len(parities) != 1:
            self._open_field = None
        both = len(parities) > 1 and None not in parities
        return Picture((idr or recovers) and not second, referred or not parities, 0, False, second, both)

    def _parameters(self, unit: bytes | memoryview) -> None:
        bits = _Bits(bytes(unit[1:]))
        try:
            if unit[0] & 31 == 8:
                number = bits.ue()
                self._pps[number] = bits.ue()
            elif unit[0] & 31 == 7:
                profile = bits.take(24) >> 16
                number = bits.ue()
                self._sps[number] = _sps(bits, profile)
        except IndexError:
            return  # cut short: the decoder will say so

    def _is_second_field(self, field: tuple[int, int] | None) -> bool:
        waiting, self._open_field = self._open_field, field
        if field is None or waiting is None or field[0] != waiting[0] or field[1] == waiting[1]:
            return False
        self._open_field = None
        return True

    def _field(self, unit: bytes | memoryview) -> tuple[int, int] | None:
        """frame_num and parity (0 top, 1 bottom) of a slice of a field; None for slices of whole pictures."""
        if not any(sps.fields for sps in self._sps.values()):
            return None
        bits = _Bits(bytes(unit[1:_HEADER_BYTES]))
        try:
            bits.ue()
            bits.ue()
            sps = self._sps[self._pps[bits.ue()]]
            if sps.colour_planes:
                bits.take(2)
            frame_num = bits.take(sps.frame_num_bits)
            return (frame_num, bits.take(1)) if sps.fields and bits.take(1) else None
        except (KeyError, IndexError):
            return None


_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


def _sps(bits: _Bits, profile: int) -> _Sps:
    colour_planes = False
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        colour_planes = chroma == 3 and bool(bits.take(1))
        bits.ue()
        bits.ue()
        bits.take(1)
        if bits.take(1):
            for number in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
    frame_num_bits = bits.ue() + 4
    order_type = bits.ue()
    if order_type == 0:
        bits.ue()
    elif order_type == 1:
        bits.take(1)
        bits.ue()
        bits.ue()
        for _ in range(bits.ue()):
            bits.ue()
    bits.ue()
    bits.take(1)
    bits.ue()
    bits.ue()
    return _Sps(frame_num_bits, colour_planes, not bits.take(1))


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.ue()
            following = (last + (code + 1) // 2 * (1 if code % 2 else -1)) % 256
        last = following or last


def _recovers(unit: bytes | memoryview) -> bool:
    """Whether an SEI holds a recovery point from which everything is exact at once.

    Where a picture is refreshed little by little (recovery_frame_cnt > 0), or only nearly (exact_match_flag = 0), it
    would differ from what a decoder that comes from further back shows.
    """
    data = _unescaped(bytes(unit[1:]))
    at = 0
    while at + 2 < len(data):
        numbers = [0, 0]  # type and size
        for which in (0, 1):
            while at < len(data) and data[at] == 255:
                numbers[which] += 255
                at += 1
            if at >= len(data):
                return False
            numbers[which] += data[at]
            at += 1
        if numbers[0] == _RECOVERY_POINT:
            return data[at : at + 1] >= b"\xc0"  # ue(v) 0 is the bit 1, and so is the flag
        at += numbers[1]
    return False


def _unescaped(data: bytes) -> bytes:
    """Without the bytes that keep start codes from appearing."""
    return data if b"\x00\x00\x03" not in data else b"\x00\x00".join(data.split(b"\x00\x00\x03"))


class _Bits:
    """Reads bits; IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        data = _unescaped(data)
        self._number = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError("the bits end")
        return self._number >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        """An Exp-Golomb code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
