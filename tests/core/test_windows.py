"""Which windows an entry belongs to, and which are read for a question (seed 3, "Overlap Handling")."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.playlist import Playlist, parse_playlist, render_playlist
from dreamlake.core.windows import SPAN, WINDOW, chunks_between, on_clip, overlaps, place, window_length, windows_of

from ._helpers import examples

# Times near the bounds of windows, where a rounding error would show, besides any others.
near = st.builds(
    lambda window, steps: float(np.nextafter(window * WINDOW, np.inf * steps)) if steps else float(window * WINDOW),
    st.integers(-100, 10**8),
    st.integers(-1, 1),
)
times = near | st.floats(-1e10, 1e10) | st.integers(-300, 300).map(float)
lengths = st.just(0.0) | st.floats(0, 1e-9) | st.floats(0, 100) | st.floats(0, 1e10) | near.map(abs)


def placed(ts: float, dt: float) -> tuple[int, int, int]:
    level, first, last = place(np.array([ts]), np.array([ts + dt]))
    return int(level[0]), int(first[0]), int(last[0])


@examples(500)
@given(times, lengths)
def test_the_rule_of_seed_3(ts: float, dt: float) -> None:
    """``ts < windowEnd and ts + dt > windowStart``; without a duration, where it begins."""
    level, first, last = placed(ts, dt)
    length = window_length(level)
    assert 0 <= last - first < SPAN
    for window in range(first, last + 1):
        start, stop = window * length, (window + 1) * length
        assert (ts < stop and ts + dt > start) or (ts + dt == ts and start <= ts < stop)
    for start in (first * length, (last + 1) * length):  # and neither before nor after
        assert not (ts < start and ts + dt > start) or first * length < start <= last * length
    assert (window_length(level - 1) * (SPAN - 1) <= dt) if level else True


def test_the_example_of_seed_3() -> None:
    assert placed(29.5, 1.0) == (0, 0, 1)
    assert placed(29.5, 0.5) == (0, 0, 0)
    assert placed(30.0, 0.0) == (0, 1, 1)
    assert placed(-0.5, 0.0) == (0, -1, -1)
    assert placed(0.0, 30.0 * SPAN) == (0, 0, SPAN - 1)
    assert placed(0.0, 30.0 * SPAN + 1) == (1, 0, 1)
    assert placed(0.0, 1e11)[0] < 9


def test_windows_out_of_a_playlist() -> None:
    playlist = Playlist(
        ["a", "b", "gap", "c", "c2", "d"], [30, 30, 7200, 0, 30, 30], gaps=frozenset({2}), window=30, start=-30
    )
    text = render_playlist(playlist)
    assert parse_playlist(text) == playlist
    assert "#EXT-X-GAP\n#EXTINF:7200.000000,\ngap\n" in text
    assert list(windows_of(playlist)) == [(0, -1), (1, 0), (3, 241), (4, 241), (5, 242)]
    assert chunks_between(playlist, -0.5, 0.0) == [(0, -1)]
    assert chunks_between(playlist, 0.0, 7230.0) == [(1, 0)]
    assert chunks_between(playlist, 7259.9, 7260.1) == [(3, 241), (4, 241), (5, 242)]
    assert len(chunks_between(playlist, -np.inf, np.inf)) == 5


def test_playlists_of_videos_are_as_they_were() -> None:
    text = render_playlist(Playlist(["a.ts"], [2.5]))
    assert "DREAMLAKE" not in text
    assert (parse_playlist(text).window, parse_playlist(text).gaps) == (None, frozenset())


@pytest.mark.parametrize(
    ("ts", "dt", "start", "stop", "is_there"),
    [
        (0.0, 1.0, 1.0, 2.0, False),
        (0.0, 1.0, 0.5, 0.6, True),
        (1.0, 0.0, 1.0, 2.0, True),
        (2.0, 0.0, 1.0, 2.0, False),
        (2.0, 1.0, 1.0, 2.0, False),
        (0.0, 9.0, 1.0, 2.0, True),
        (1.0, 1.0, 1.0, 1.0, False),
    ],
)
def test_what_lies_between_two_times(ts: float, dt: float, start: float, stop: float, is_there: bool) -> None:
    assert overlaps(ts, ts + dt, start, stop) == is_there


def test_an_entry_as_a_clip_sees_it() -> None:
    numbers = np.arange(300, 600)
    entry = {"ts": 9.5, "dt": 1.0, "fs": 285, "fe": 314, "label": "cup"}
    assert on_clip(entry, 10.0, numbers) == {"ts": -0.5, "dt": 1.0, "fs": 0, "fe": 14, "label": "cup"}
    assert on_clip({"ts": 19.0, "dt": 5, "fs": 570}, 10.0, numbers) == {"ts": 9.0, "dt": 5, "fs": 270}
    assert on_clip({"ts": 12.0, "dt": 0, "fs": 301, "fe": 304}, 10.0, numbers[::10]) == {"ts": 2.0, "dt": 0}
    assert on_clip({"ts": 12.0, "dt": 0, "fs": 301, "fe": 311}, 10.0, numbers[::10])["fs"] == 1
    assert entry["fs"] == 285
