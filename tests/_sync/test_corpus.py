# Generated from tests/_async/test_corpus.py by scripts/unasync.py. Edit that file, then run it.
"""The first promise where it is hard to keep: every trap of tests/corpus, in place and from a lake."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import dreamlake as dl
from tests.corpus import TRAPS, make
from tests.corpus.oracle import nearest, plain, psnr

UPLOADED = [name for name, trap in TRAPS.items() if trap.suffix != ".ts"]  # no type of its own in a lake


def check_frames(video: dl.Video, path: Path, name: str) -> None:
    """Every frame, however it is asked for, and every time equal those of a plain decode."""
    expected, times = plain(path, TRAPS[name].stream)
    count = len(expected)
    assert video.frames == count
    assert video.frames == len(video)
    if count:
        assert (video.height, video.width) == expected[0].shape[:2]

    for number in np.random.default_rng(count).permutation(count)[:6].tolist():
        assert np.array_equal(video[number].numpy(), expected[number]), f"frame {number}"
    assert np.array_equal(video[-1].numpy(), expected[-1])

    same(video.numpy(keepdims=True), expected)
    forwards = [picture for picture in video.iterator()]
    same(forwards, expected)
    backwards = [picture for picture in video[::-1].iterator()]
    same(backwards, expected[::-1])
    same(video[3::5].numpy(keepdims=True), expected[3::5])
    check_times(video, times)


def same(pictures: NDArray[np.uint8] | list[NDArray[np.uint8]], expected: list[NDArray[np.uint8]]) -> None:
    assert len(pictures) == len(expected)
    different = [n for n, (one, two) in enumerate(zip(pictures, expected, strict=True)) if not np.array_equal(one, two)]
    assert different == []


def check_times(video: dl.Video, times: list[float]) -> None:
    for number, seconds in enumerate(times):
        assert video[number].st == pytest.approx(seconds, abs=1e-6)
        last = bisect_right(times, seconds) - 1  # of those that share a time
        assert video[seconds] == video[last], f"at {seconds} s"
        if last + 1 < len(times):
            assert video[(seconds + times[last + 1]) / 2] == video[last]
    assert video.duration > times[-1]
    assert video.fps > 0


@pytest.mark.parametrize("name", TRAPS)
def test_in_place(corpus: Path, name: str) -> None:
    path = make(name, corpus)
    check_frames(dl.load_video(path), path, name)


@pytest.mark.parametrize("name", [name for name in UPLOADED if not TRAPS[name].transcoded])
def test_from_a_lake(_home: Path, corpus: Path, name: str) -> None:
    path = make(name, corpus)
    check_frames(dl.upload(path, prefix="/corpus", progress=False), path, name)


@pytest.mark.parametrize("name", [name for name in UPLOADED if TRAPS[name].transcoded])
def test_what_a_lake_writes_anew(_home: Path, corpus: Path, name: str) -> None:
    """Close to the original's picture, and closer to it than to any other."""
    path = make(name, corpus)
    expected, times = plain(path, TRAPS[name].stream)
    video = dl.upload(path, prefix="/corpus", progress=False)
    assert video.frames == len(expected)
    check_times(video, times)
    pictures = list(video.numpy(keepdims=True))
    assert min(map(psnr, pictures, expected)) > 35
    assert nearest(pictures, expected).tolist() == list(range(len(expected)))


@pytest.mark.parametrize(
    ("name", "size", "fps", "duration"),
    [
        ("turned-90", (64, 96), 30, 40 / 30),
        ("turned-180", (96, 64), 30, 40 / 30),
        ("turned-270", (64, 96), 30, 40 / 30),
        ("turned-90-mkv", (64, 96), 30, 1.333),
        ("pixels-not-square", (96, 64), 30, 40 / 30),  # as they are stored
        ("h264-444-odd", (97, 65), 30, 40 / 30),
        ("h264-cropped", (98, 66), 30, 40 / 30),
        ("mkv-wrong-size", (96, 64), 30, 1.333),
        ("ntsc-film-mp4", (96, 64), 24000 / 1001, 40 * 1001 / 24000),
        ("ntsc-film-mkv", (96, 64), 24000 / 1001, 1.668),
        ("ntsc-mp4", (96, 64), 30000 / 1001, 40 * 1001 / 30000),
        ("fps-1000", (96, 64), 1000, 0.06),
        ("still-at-the-end", (96, 64), 40 / (340 / 30), 340 / 30),
        ("one-frame", (96, 64), 30, 1 / 30),
        ("mp4-start-time", (96, 64), 30, 50 / 30),  # from the first frame on
        ("mp4-ends-early", (96, 64), 30, 25 / 30),
        ("sound-longer", (96, 64), 30, 40 / 30),
        ("sound-first", (96, 64), 30, 70 / 30),
        ("h264-mbaff", (96, 64), 30, 40 / 30),
    ],
)
def test_facts(corpus: Path, name: str, size: tuple[int, int], fps: float, duration: float) -> None:
    video = dl.load_video(make(name, corpus))
    assert (video.width, video.height) == size
    assert video.fps == pytest.approx(fps, rel=1e-3)
    assert (video.st, video.et) == (0, video.duration)
    assert video.duration == pytest.approx(duration, abs=1e-3)
    assert video.image.size == size
