# Generated from tests/_async/test_exact.py by scripts/unasync.py. Edit that file, then run it.
"""The first promise: every frame equals a plain decode of the original, bit for bit, however it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dreamlake as dl
from dreamlake._sync._runtime import map_unordered
from tests.clips import CLIPS, REAL_NAMES, decode_plain, plain_times, real_clip

NAMES = [*REAL_NAMES, *CLIPS]


@pytest.fixture(params=NAMES)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name = request.param
    if name in REAL_NAMES:
        return real_clip(name)
    return CLIPS[name].make(tmp_path / f"{name}{CLIPS[name].suffix}")


def test_every_frame(lake: str, clip: Path) -> None:
    expected = decode_plain(clip)
    video = dl.upload(clip, prefix="/exact", progress=False)
    assert video.frames == len(expected)

    def check(number: int) -> None:
        assert np.array_equal(video[number].numpy(), expected[number]), f"frame {number}"

    for _ in map_unordered(check, range(len(expected)), 2):
        pass

    for number, seconds in enumerate(plain_times(clip)):
        assert video[seconds] == video[number], f"frame {number}, at {seconds} s"

    whole = video.numpy(keepdims=True)
    assert np.array_equal(whole, expected)
    backwards = video[::-1].numpy(keepdims=True)
    assert np.array_equal(backwards, expected[::-1])


def test_slices(lake: str, clip: Path) -> None:
    expected = decode_plain(clip)
    times = plain_times(clip)
    video = dl.upload(clip, prefix="/exact", progress=False)
    count = len(expected)

    third = max(1, count // 3)
    for start in range(0, count, third):
        middle = video[start : start + third].numpy(keepdims=True)
        assert np.array_equal(middle, expected[start : start + third])
        by_time = video[times[start] : times[start + third] if start + third < count else video.et]
        assert np.array_equal(by_time.numpy(keepdims=True), expected[start : start + third])

    assert np.array_equal(video[1::7].numpy(keepdims=True), expected[1::7]) or count == 1
    assert np.array_equal(video[-2:].numpy(keepdims=True), expected[-2:])


def test_iterator(lake: str, clip: Path) -> None:
    expected = decode_plain(clip)
    video = dl.upload(clip, prefix="/exact", progress=False)
    for selected, pictures in ((video, expected), (video[5:40:3], expected[5:40:3]), (video[::-1], expected[::-1])):
        count = 0
        for picture in selected.iterator():
            assert np.array_equal(picture, pictures[count]), f"frame {count} of {selected}"
            count += 1
        assert count == len(pictures)
