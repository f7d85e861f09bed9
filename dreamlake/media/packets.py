"""The packets of a file with times that every muxer takes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from dreamlake.core.segments import decode_times
from dreamlake.media.container import best_video
from dreamlake.media.scan import Scan

__all__ = ["TimedPackets"]


class TimedPackets:
    """The packets of a file in the order of the file, cut by the number of video packets and moved to positive times.

    Decoding times begin below zero where frames are reordered, and a transport stream cannot hold that.

    Args:
        source: the open file.
        name: for messages.
        scanned: what ``scan`` found in it.
        tick: the time base that the video packets are wanted in; the file's own when it is None.
    """

    def __init__(self, source: InputContainer, name: str, scanned: Scan, tick: Fraction | None = None) -> None:
        self.video: VideoStream = best_video(source, name)
        self.audio: AudioStream | None = next(iter(source.streams.audio), None)
        base = Fraction(self.video.time_base or 1)
        self._tick = tick or base
        shift = max(Fraction(0), -scanned.begin)
        pts, dts = scanned.packet_pts, scanned.packet_dts
        if tick is not None:
            # Rescaled before the decoding times are made, so that no two of them fall on one tick.
            pts = np.array([round(time * base / tick) for time in pts.tolist()], np.int64)
            dts = decode_times(pts)
        self._pts, self._dts = (pts + round(shift / self._tick)).tolist(), (dts + round(shift / self._tick)).tolist()
        self._sound_shift = round(shift / Fraction(self.audio.time_base or 1)) if self.audio is not None else 0
        self._packets = source.demux(self.streams)
        self._number = 0
        self._next: Packet[Any] | None = None

    @property
    def streams(self) -> list[VideoStream | AudioStream]:
        """The video, and the sound if there is any."""
        return [self.video] if self.audio is None else [self.video, self.audio]

    def take(self, count: int) -> Iterator[Packet[Any]]:
        """The next ``count`` video packets, with the sound up to the video packet after them."""
        taken = 0
        while (packet := self._next or next(self._packets, None)) is not None:
            self._next = None
            if not packet.size:
                continue
            if packet.stream is self.video:
                if taken == count:
                    self._next = packet
                    return
                taken += 1
                packet.pts, packet.dts = self._pts[self._number], self._dts[self._number]
                packet.time_base = self._tick
                self._number += 1
                yield packet
            elif packet.pts is not None:
                packet.pts += self._sound_shift
                packet.dts = packet.pts if packet.dts is None else packet.dts + self._sound_shift
                yield packet
