"""Decoders that are not at work: idle ones, and ones that are parked in the middle of a video.

Making a decoder costs more than a picture, and going back to a key frame costs as much as all the pictures since.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from av.video.frame import VideoFrame

from dreamlake.core.decodeplan import Run
from dreamlake.core.frameindex import FrameIndex
from dreamlake.media.decoder import Decoder
from dreamlake.media.intact import Intact

__all__ = ["DecoderPool", "Spot", "decoders"]

MAX_BYTES = 160 * 1024**2
MAX_PARKED = 4
MAX_IDLE = 8


@dataclass(eq=False)
class Spot:
    """A decoder in the middle of a video.

    Attributes:
        index: of the video.
        decoder: that stands there.
        key: of the decoder, for the pool.
        intact: which of its pictures are whole.
        start: the key packet that it began with.
        next: the packet after the last one that went in.
        inside: frames that went in and have not come out yet.
        ready: pictures that came out and that nobody has asked for so far, with the numbers of their frames, and
            whether they are damaged.
        drained: whether nothing more can go in.
    """

    index: FrameIndex
    decoder: Decoder
    key: Hashable | None
    intact: Intact
    start: int
    next: int
    inside: set[int] = field(default_factory=set)
    ready: list[tuple[int, VideoFrame, bool]] = field(default_factory=list)
    drained: bool = False

    def leads_to(self, index: FrameIndex, run: Run) -> bool:
        """Whether going on from here gives the frames of a run, exactly and sooner than from its key packet."""
        if index is not self.index or not self.start <= run.packets[0] <= self.next:
            return False
        ready = {number for number, _, _ in self.ready}
        for frame, packet in zip(run.frames.tolist(), index.frame_packet[run.frames].tolist(), strict=True):
            if frame not in ready and (self.drained or (frame not in self.inside and packet < self.next)):
                return False
        return True


class DecoderPool:
    """What is kept of decoders, up to a bound of memory; safe for any number of threads.

    Args:
        max_bytes: that the decoders may hold, as they estimate it themselves.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._lock = threading.Lock()
        self._max_bytes = max_bytes
        self._idle: OrderedDict[Decoder, Hashable] = OrderedDict()
        self._parked: list[Spot] = []
        self._last: WeakKeyDictionary[FrameIndex, tuple[int, int]] = WeakKeyDictionary()

    def take(self, key: Hashable | None) -> Decoder | None:
        """An idle decoder of this kind, if there is one."""
        with self._lock:
            for decoder in reversed(self._idle):
                if self._idle[decoder] == key:
                    del self._idle[decoder]
                    return decoder
            return None

    def give(self, key: Hashable | None, decoder: Decoder) -> None:
        """Keep a decoder for later, ready for other packets; without a key it is not kept."""
        if key is None:
            return
        decoder.reset()
        with self._lock:
            self._idle[decoder] = key
            self._shrink()

    def find(self, index: FrameIndex, run: Run) -> tuple[Spot | None, bool]:
        """The parked decoder to go on with, which is the caller's from now on; and whether to park one afterwards.

        It is worth parking when the last run began at the same key packet and ended before this one: somebody walks
        through a group of pictures.
        """
        entry, first, last = int(run.packets[0]), int(run.frames[0]), int(run.frames[-1])
        with self._lock:
            before = self._last.get(index)
            self._last[index] = (entry, last)
            nearest = max(
                (spot for spot in self._parked if spot.leads_to(index, run)), key=lambda s: s.next, default=None
            )
            if nearest is not None:
                self._parked.remove(nearest)
            return nearest, before is not None and before[0] == entry and before[1] < first

    def park(self, spot: Spot) -> None:
        """Leave a decoder where it is."""
        with self._lock:
            self._parked.append(spot)
            oldest = self._parked.pop(0) if len(self._parked) > MAX_PARKED else None
            self._shrink()
        if oldest is not None and oldest.intact.all_sound:
            self.give(oldest.key, oldest.decoder)

    def _shrink(self) -> None:
        nbytes = sum(decoder.nbytes for decoder in self._idle) + sum(spot.decoder.nbytes for spot in self._parked)
        while len(self._idle) > MAX_IDLE or (nbytes > self._max_bytes and len(self._idle) + len(self._parked) > 1):
            gone = self._idle.popitem(last=False)[0] if self._idle else self._parked.pop(0).decoder
            nbytes -= gone.nbytes


decoders = DecoderPool()


def _start_anew() -> None:
    global decoders
    decoders = DecoderPool()  # its lock may be held by a thread that the child does not have


# After the decoders' own handler, which keeps those that must not be freed with the pool.
os.register_at_fork(after_in_child=_start_anew)
