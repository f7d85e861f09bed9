"""The packets of a file with times that every muxer takes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from dreamlake.media.container import best_video
from dreamlake.media.scan import Scan

__all__ = ["TimedPackets"]


class TimedPackets:
    """The packets of a file in the order of the file, cut by the number of video packets and moved to positive times.

    Decoding times begin below zero where frames are reordered, and a transport stream cannot hold that.
    """

    def __init__(self, source: InputContainer, name: str, scanned: Scan) -> None:
        self.video: VideoStream = best_video(source, name)
        self.audio: AudioStream | None = next(iter(source.streams.audio), None)
        self._shift = max(Fraction(0), -scanned.begin)
        self._packets = source.demux(self.streams)
        self._pts, self._dts = scanned.packet_pts, scanned.packet_dts
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
            if packet.stream is self.video and packet.size:
                if taken == count:
                    self._next = packet
                    return
                taken += 1
                packet.pts, packet.dts = int(self._pts[self._number]), int(self._dts[self._number])
                self._number += 1
            if packet.size and packet.pts is not None:
                shift = round(self._shift / packet.time_base)
                packet.pts += shift
                packet.dts = packet.pts if packet.dts is None else packet.dts + shift
                yield packet
