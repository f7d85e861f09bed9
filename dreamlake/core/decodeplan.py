"""How to decode a set of frames with as little work as possible, decided from the index alone.

Frames are decoded in runs. A run begins at a key packet, feeds the decoder packet after packet up to the last one it
wants, and leaves out droppable packets that nobody asked for. Runs are independent, so they may go to different cores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamlake.core.frameindex import DROPPABLE, SECOND_FIELD, FrameIndex

__all__ = ["Run", "plan_runs"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Run:
    """One pass of a decoder.

    Attributes:
        segments: the segments it reads, in order: one, or two when it ends in the leading packets of the next.
        packets: packet numbers to feed, in decode order; the first is a key packet.
        frames: frame numbers it yields, increasing.
    """

    segments: range
    packets: Ints
    frames: Ints


def plan_runs(index: FrameIndex, frames: Iterable[int]) -> list[Run]:
    """The runs that yield these frames, each frame once, in the order of the video.

    Args:
        index: of the video.
        frames: frame numbers in any order, repeated or not.
    """
    wanted = frames if isinstance(frames, np.ndarray) else np.fromiter(frames, np.int64)
    if len(wanted) == 1:  # the most frequent case by far
        packets = index.frame_packet[wanted]
        return [_run(index, int(index.packet_entry[packets[0]]), packets)]
    wanted = np.unique(wanted)
    if not len(wanted):
        return []
    packets = np.sort(index.frame_packet[wanted])
    entries = index.packet_entry[packets]
    # A stable sort by entry: leading packets join the run of the key packet before theirs.
    order = np.argsort(entries, kind="stable")
    packets, entries = packets[order], entries[order]
    segments = np.searchsorted(index.segment_packet, entries, side="right") - 1

    runs: list[Run] = []
    begin, high = 0, int(packets[0])
    for at in range(1, len(packets) + 1):
        # Going on is free up to a key packet that the decoder has passed already, or stands right before.
        if (
            at < len(packets)
            and segments[at] == segments[begin]
            and (entries[at] == entries[begin] or entries[at] <= high + 1)
        ):
            high = max(high, int(packets[at]))
            continue
        runs.append(_run(index, int(entries[begin]), np.sort(packets[begin:at])))
        if at < len(packets):
            begin, high = at, int(packets[at])
    return runs


def _run(index: FrameIndex, entry: int, wanted: Ints) -> Run:
    last = int(wanted[-1])
    if last + 1 < len(index.packet_flags) and index.packet_flags[last + 1] & SECOND_FIELD:
        last += 1
    numbers = np.arange(entry, last + 1)
    needed = (index.packet_flags[entry : last + 1] & DROPPABLE) == 0
    needed[wanted - entry] = True
    segments = range(index.segment_of(entry), index.segment_of(last) + 1)
    return Run(segments, numbers[needed], np.sort(index.packet_frame[wanted]))
