"""What packets say of their pictures, and containers do not (H.264 and HEVC: the ITU's 7.3 and 7.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from av.packet import Packet

__all__ = ["READS", "Picture", "may_hold_fields", "picture_reader"]

READS = frozenset({"h264", "hevc"})  # codecs of whose packets it is told whether decoding may begin with them

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
        changed: whether parameter sets hold in it that the extradata has not.
        packed: whether it holds two pictures, the second of which a decoder keeps for the next packet (DivX).
    """

    entry: bool = True
    referred: bool = True
    layer: int = 0
    alone: bool = False
    second_field: bool = False
    both_fields: bool = False
    changed: bool = False
    packed: bool = False


def picture_reader(codec: str, extradata: bytes | None) -> Callable[[Packet[Any]], Picture]:
    """What reads packets of a stream, one after the other in decode order.

    Args:
        codec: FFmpeg's name of the codec; of all but ``h264``, ``hevc`` and ``mpeg4`` nothing is known.
        extradata: of the stream; an avcC or hvcC box says how long the NAL units' lengths are, otherwise they are in
            Annex B's byte-stream form.
    """
    extradata = extradata or b""
    boxed = extradata[:1] == b"\x01"  # the first byte of an avcC or hvcC box; Annex B begins with zeros
    if codec == "hevc":
        size = (extradata[21] & 3) + 1 if boxed and len(extradata) > 21 else 0
        layout = _Hevc(_boxed_sets(extradata, 22) if boxed else _byte_stream(extradata))
        return lambda packet: layout.picture(_units(packet, size))
    if codec == "h264":
        size = (extradata[4] & 3) + 1 if boxed and len(extradata) > 4 else 0
        reader = _H264(_boxed_sets(extradata, 5) if boxed else _byte_stream(extradata))
        return lambda packet: reader.picture(_units(packet, size))
    if codec == "mpeg4":
        return lambda packet: Picture(packed=bytes(packet).count(_VOP) > 1)
    known = Picture()
    return lambda _: known


def may_hold_fields(codec: str, extradata: bytes | None) -> bool:
    """Whether a packet may be a field that only the next one completes, as far as the parameter sets say."""
    return codec == "h264" and _H264(_boxed_sets(extradata or b"", 5)).fields


def _units(packet: Packet[Any], length_size: int) -> Iterator[memoryview]:
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


def _boxed_sets(box: bytes, at: int) -> Iterator[memoryview]:
    """The parameter sets of an avcC (from byte 5) or hvcC (from byte 22) box (ISO/IEC 14496-15, 5.3.3 and 8.3.3)."""
    view = memoryview(box)
    hevc = at == 22
    arrays = box[at] if hevc and at < len(box) else 2  # avcC: those of sequences, and those of pictures
    at += hevc
    for _ in range(arrays):
        count = int.from_bytes(box[at + 1 : at + 3], "big") if hevc else (box[at : at + 1] or b"\0")[0] & 31
        at += 3 if hevc else 1
        for _ in range(count):
            length = int.from_bytes(view[at : at + 2], "big")
            if length:
                yield view[at + 2 : at + 2 + length]
            at += 2 + length


class _Sets:
    """Which parameter sets hold, by the type of their NAL units, and whether a decoder that begins would have them."""

    def __init__(self, sets: list[tuple[int, bytes]]) -> None:
        self._initial = _by_kind(sets)
        self._now = dict(self._initial)

    def take(self, sets: list[tuple[int, bytes]]) -> None:
        """Of the next packet."""
        self._carried = _by_kind(sets)
        self._now |= self._carried

    @property
    def changed(self) -> bool:
        return self._now != self._initial

    @property
    def known(self) -> bool:
        return self._initial | self._carried == self._now


def _by_kind(sets: list[tuple[int, bytes]]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for kind, data in sets:
        found.setdefault(kind, []).append(data.rstrip(b"\0"))  # zeros belong to the next start code
    return found


# -- HEVC ------------------------------------------------------------------------------------------------------------


class _Hevc:
    def __init__(self, parameter_sets: Iterable[memoryview]) -> None:
        self._sets = _Sets([(unit[0] >> 1 & 63, bytes(unit)) for unit in parameter_sets])

    def picture(self, units: Iterable[memoryview]) -> Picture:
        sets: list[tuple[int, bytes]] = []
        for unit in units:
            kind = unit[0] >> 1 & 63
            if 32 <= kind <= 34:
                sets.append((kind, bytes(unit)))
            elif kind < 32 and len(unit) > 1:  # all slices of a picture have the same
                self._sets.take(sets)
                # RADL pictures are 6 and 7. The even ones below 16 are not referred to by their own sub-layer.
                return Picture(
                    entry=16 <= kind <= 21 and self._sets.known,
                    referred=kind > 14 or kind % 2 == 1,
                    layer=(unit[1] & 7) - 1,
                    alone=kind in (6, 7),
                    changed=self._sets.changed,
                )
        self._sets.take(sets)
        return Picture(entry=False, changed=self._sets.changed)


# -- H.264 -----------------------------------------------------------------------------------------------------------


class _Sps(NamedTuple):
    frame_num_bits: int
    colour_planes: bool
    fields: bool


class _H264:
    def __init__(self, parameter_sets: Iterable[memoryview]) -> None:
        units = list(parameter_sets)
        self._sets = _Sets([(unit[0] & 31, bytes(unit)) for unit in units])
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, int] = {}
        self._open_field: tuple[int, int] | None = None  # frame_num and parity of a field that waits for its second
        for unit in units:
            self._parameters(unit)

    @property
    def fields(self) -> bool:
        """Whether there may be pictures whose fields are coded apart."""
        return any(sps.fields for sps in self._sps.values())

    def picture(self, units: Iterable[memoryview]) -> Picture:
        idr = recovers = referred = False
        sets: list[tuple[int, bytes]] = []
        parities: list[tuple[int, int] | None] = []
        for unit in units:
            kind = unit[0] & 31
            if kind in (7, 8):
                self._parameters(unit)
                sets.append((kind, bytes(unit)))
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
        self._sets.take(sets)
        return Picture(
            entry=(idr or recovers) and not second and self._sets.known,
            referred=referred or not parities,
            second_field=second,
            both_fields=len(parities) > 1 and None not in parities,
            changed=self._sets.changed,
        )

    def _parameters(self, unit: memoryview) -> None:
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

    def _field(self, unit: memoryview) -> tuple[int, int] | None:
        """frame_num and parity (0 top, 1 bottom) of a slice of a field; None for slices of whole pictures."""
        if not self.fields:
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


def _recovers(unit: memoryview) -> bool:
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
