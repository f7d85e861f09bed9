"""Which pictures of a decoder are whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from av.video.frame import VideoFrame

from dreamlake.core.frameindex import FrameIndex

__all__ = ["Intact"]

MAX_HELD = 32  # pictures; no codec reorders more than half as many


class Intact:
    """Holds each picture back until all that it may refer to have come out as well.

    A decoder paints over what it cannot read, marks that picture alone, and goes on with it: what refers to it is as
    wrong, and may come out before it.

    Args:
        index: of the video.
        entry: the key packet that decoding began with.
    """

    def __init__(self, index: FrameIndex, entry: int) -> None:
        self._index = index
        self._entry = entry
        self._missing: deque[int] = deque()  # packets that went in, in decode order
        self._come: set[int] = set()
        self._damaged: list[int] = []
        self._held: deque[tuple[int, VideoFrame]] = deque()

    @property
    def all_sound(self) -> bool:
        """Whether no damage was met. A decoder that painted over some keeps traces of it, even when it is reset."""
        return not self._damaged

    def went_in(self, packet: int) -> None:
        """Expect the picture of a packet."""
        if self._index.packet_frame[packet] >= 0 and self._index.packet_entry[packet] >= self._entry:
            self._missing.append(packet)

    def came_out(self, pictures: Sequence[VideoFrame], *, last: bool) -> Iterator[tuple[int, VideoFrame, bool]]:
        """The pictures that need not be held back any longer.

        Args:
            pictures: that came out of the decoder.
            last: whether no more will come.

        Yields:
            The number of the frame, the picture, and whether it is damaged or may have been made from one that is.
        """
        for picture in pictures:
            if picture.pts is None:
                continue
            packet = int(self._index.frame_packet[picture.pts]) if picture.pts >= 0 else -1 - picture.pts
            if self._index.packet_entry[packet] < self._entry:
                continue  # a leading picture, whose GOP was not decoded
            self._held.append((packet, picture))
            self._come.add(packet)
            if picture.is_corrupt:
                self._damaged.append(packet)
        while self._missing and (self._missing[0] in self._come or len(self._held) > MAX_HELD):
            self._come.discard(self._missing.popleft())
        while self._held and (last or not self._missing or self._held[0][0] < self._missing[0]):
            packet, picture = self._held.popleft()
            first = self._index.packet_entry[packet] if self._damaged else 0
            yield int(picture.pts or 0), picture, any(first <= one <= packet for one in self._damaged)
