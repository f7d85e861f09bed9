"""Whether decoding H.264 may begin with a packet. What a file's tables say of that is not always so."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["begins_decoding"]

_SLICE, _IDR, _SEI = 1, 5, 6
_RECOVERY_POINT = 6


def begins_decoding(packet: bytes, extradata: bytes | None) -> bool:
    """Whether a packet holds an IDR picture, or says that decoding recovers from it (ITU-T H.264, D.1.8).

    Args:
        packet: of an MP4, or its beginning; its NAL units have their lengths before them.
        extradata: the avcC box, which says how long the lengths are.
    """
    if not extradata or extradata[0] != 1 or len(extradata) < 5:
        return False
    length_size, at = (extradata[4] & 3) + 1, 0
    while at + length_size < len(packet):
        length = int.from_bytes(packet[at : at + length_size], "big")
        unit = packet[at + length_size : at + length_size + length]
        kind = unit[0] & 0x1F if unit else 0
        if kind == _IDR or (kind == _SEI and _RECOVERY_POINT in _messages(unit)):
            return True
        if kind == _SLICE:
            return False
        at += length_size + length
    return False


def _messages(unit: bytes) -> Iterator[int]:
    """The types of the messages in a supplemental enhancement information unit."""
    data = unit[1:].replace(b"\0\0\3", b"\0\0")  # what keeps payloads from looking like start codes
    at = 0
    while at + 2 < len(data):  # the last byte is the trailing bits
        numbers = []
        for _ in ("type", "size"):
            number = 0
            while at < len(data) and data[at] == 0xFF:
                number += 255
                at += 1
            numbers.append(number + (data[at] if at < len(data) else 0))
            at += 1
        yield numbers[0]
        at += numbers[1]
