"""What several tests of the core share: Hypothesis settings, and indexes of made-up videos."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dreamlake.core.frameindex import DROPPABLE, KEY, LEADING, FrameIndex, IndexHeader


def examples(count: int) -> settings:
    """So many examples, however slow the machine is that runs them."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def frame_index(
    flags: list[int],
    display: list[int],
    *,
    cuts: list[int] | None = None,
    pts: list[int] | None = None,
    time_base: tuple[int, int] = (1, 30),
    last: int = 1,
    rotation: int = 0,
) -> FrameIndex:
    """An index of packets with these flags, shown in this order and cut before these packets.

    Args:
        flags: of each packet, in decode order.
        display: packet numbers in the order of display; those left out are hidden.
        cuts: the first packet of each segment.
        pts: of each frame; one tick apart when not given.
        time_base: numerator and denominator.
        last: ticks for which the last frame is shown.
        rotation: degrees.
    """
    pts = pts if pts is not None else list(range(len(display)))
    cuts = cuts or [0]
    header = IndexHeader(
        codec="hevc",
        width=1920,
        height=1080,
        time_base=time_base,
        end_pts=pts[-1] + last,
        fps=(30, 1),
        rotation=rotation,
    )
    return FrameIndex(
        header,
        np.array(pts, np.int64),
        np.array(display, np.int64),
        np.array(flags, np.uint8),
        np.array([*cuts, len(flags)], np.int64),
        (np.arange(len(cuts) * 32, dtype=np.int64) * 7 % 251).astype(np.uint8).reshape(-1, 32),
        np.arange(len(cuts), dtype=np.int64) + 1000,
    )


@st.composite
def frame_indexes(draw: st.DrawFn, *, open_gop: bool = True, hidden: bool = True, segments: bool = True) -> FrameIndex:
    """Indexes of random videos: reordered GOPs, droppable and leading packets, hidden ones, several segments.

    Every segment shows at least one frame.
    """
    droppable = st.sampled_from([0, DROPPABLE])
    flags: list[int] = []
    display: list[int] = []
    keys: list[int] = []
    for gop in range(draw(st.integers(1, 4))):
        key = len(flags)
        keys.append(key)
        flags.append(KEY)
        leading = draw(st.lists(droppable, max_size=2)) if open_gop and gop else []
        trailing = draw(st.lists(droppable, max_size=5))
        flags += [LEADING | flag for flag in leading] + trailing
        after = key + 1 + len(leading)
        display += draw(st.permutations(range(key + 1, after)))
        display += [key, *draw(st.permutations(range(after, len(flags))))]
    if hidden:
        secret = draw(st.sets(st.integers(0, len(flags) - 1), max_size=3)) - set(keys)
        display = [packet for packet in display if packet not in secret]
    cuts = sorted({0, *draw(st.sets(st.sampled_from(keys)))}) if segments else [0]
    gaps = draw(st.lists(st.integers(1, 5000), min_size=1, max_size=3)) * len(display)
    pts = np.cumsum([draw(st.integers(-100_000, 100_000)), *gaps[: len(display) - 1]]).tolist()
    time_base = draw(st.sampled_from([(1, 90_000), (1, 15_360), (1001, 30_000), (1, 1000)]))
    return frame_index(flags, display, cuts=cuts, pts=pts, time_base=time_base, last=gaps[0])
