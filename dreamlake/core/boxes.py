"""The boxes of an MP4 file (ISO/IEC 14496-12, 4.2), as far as it takes to tell a whole file from one that was cut."""

from __future__ import annotations

from collections.abc import Iterator

from dreamlake.errors import MediaError

__all__ = ["count_samples"]

_PATH = (b"mdia", b"minf", b"stbl")


def count_samples(data: bytes) -> int:
    """How many samples the tables of an MP4 list for its first video track; 0 where a fragmented file lists none.

    Args:
        data: the whole file.

    Raises:
        MediaError: not an MP4, or not all of it.
    """
    boxes = list(_boxes(data, 0, len(data)))
    kinds = [kind for kind, _, _ in boxes]
    if not boxes or b"moov" not in kinds or not {b"mdat", b"moof"} & set(kinds):
        raise MediaError(f"an MP4 of {len(data)} bytes lacks its {'pictures' if b'moov' in kinds else 'tables'}")
    _, begin, end = boxes[kinds.index(b"moov")]
    for kind, track_begin, track_end in _boxes(data, begin, end):
        if kind == b"trak" and _handler(data, track_begin, track_end) == b"vide":
            sizes = _find(data, track_begin, track_end, (*_PATH, b"stsz"))
            return int.from_bytes(data[sizes[0] + 8 : sizes[0] + 12]) if sizes else 0
    raise MediaError("an MP4 holds no video track")


def _boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, and where its content begins and ends, of each box."""
    while begin < end:
        if end - begin < 8:
            raise MediaError(f"an MP4 of {len(data)} bytes ends within the head of a box")
        size, kind, head = int.from_bytes(data[begin : begin + 4]), data[begin + 4 : begin + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[begin + 8 : begin + 16]), 16
        elif size == 0:  # the last one, as long as there is anything
            size = end - begin
        if size < head or begin + size > end:
            raise MediaError(f"an MP4 of {len(data)} bytes was cut: its {kind!r} has {size} bytes from {begin} on")
        yield kind, begin + head, begin + size
        begin += size


def _find(data: bytes, begin: int, end: int, path: tuple[bytes, ...]) -> tuple[int, int] | None:
    for kind in path:
        inner = next((box for box in _boxes(data, begin, end) if box[0] == kind), None)
        if inner is None:
            return None
        _, begin, end = inner
    return begin, end


def _handler(data: bytes, begin: int, end: int) -> bytes:
    place = _find(data, begin, end, (b"mdia", b"hdlr"))
    return data[place[0] + 8 : place[0] + 12] if place else b""
