# Generated from tests/_async/test_stepping.py by scripts/unasync.py. Edit that file, then run it.
"""Frame after frame, each asked for alone: decoders wait in the middle of a video and go on, and every frame is exact.

In whatever order the frames are asked for, and by however many at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamlake as dl
from dreamlake._sync._runtime import gather
from tests.clips import CLIPS, SMALL, Clip, decode_plain

WALKED = ["h264-open-gop", "h265-open-gop", "h264-pyramid", "av1", "vp9"]
KINDS = {**CLIPS, **SMALL}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, list[np.ndarray]]]:
    """Makes a clip and decodes it plainly, once."""
    folder, known = tmp_path_factory.mktemp("walked"), {}

    def make(name: str) -> tuple[Path, list[np.ndarray]]:
        if name not in known:
            path = KINDS[name].make(folder / f"{name}{KINDS[name].suffix}")
            known[name] = path, decode_plain(path)
        return known[name]

    return make


Walked = Callable[[str], tuple[Path, list[np.ndarray]]]


def walk(video: Any, expected: list[np.ndarray], numbers: Any) -> None:
    for number in numbers:
        assert np.array_equal(video[number].numpy(), expected[number]), f"frame {number}"


@pytest.mark.parametrize("name", WALKED)
def test_walks_over_a_stored_video(fresh_lake: Path, walked: Walked, name: str) -> None:
    """Over the borders of segments, some of which need the end of the one before."""
    path, expected = walked(name)
    video = dl.upload(path, progress=False)
    count = len(expected)
    for number, frame in enumerate(video):
        assert np.array_equal(frame.numpy(), expected[number]), f"frame {number}"
    for stride in (2, 3, 7, 25):
        walk(video, expected, range(stride // 2, count, stride))


@pytest.mark.parametrize("name", WALKED)
def test_walks_over_a_file(walked: Walked, name: str) -> None:
    path, expected = walked(name)
    video = dl.load_video(path)
    count = len(expected)
    walk(video, expected, range(count))
    walk(video, expected, range(count - 1, -1, -4))  # backwards
    walk(video, expected, [*range(40, 60), *range(35, 55), *range(58, 70), *range(0, 30, 2)])  # to and fro


@pytest.mark.parametrize("name", WALKED)
def test_walks_chunk_after_chunk(walked: Walked, name: str) -> None:
    path, expected = walked(name)
    video = dl.load_video(path)
    number = 0
    for chunk in video.chunk(0.4):
        assert np.array_equal(chunk.numpy(keepdims=True), expected[number : number + len(chunk)])
        number += len(chunk)
    assert number == len(expected)
    for number in range(0, len(expected) - 6, 3):  # windows that overlap
        assert np.array_equal(video[number : number + 6].numpy(), expected[number : number + 6])


@pytest.mark.parametrize("name", WALKED)
@pytest.mark.parametrize("seed", [1, 2])
def test_any_order(walked: Walked, name: str, seed: int) -> None:
    """Steps forward mostly, sometimes a jump, sometimes several frames at once."""
    path, expected = walked(name)
    video = dl.load_video(path)
    random = np.random.default_rng(seed)
    at = 0
    for _ in range(90):
        at = int(random.integers(len(expected))) if random.random() < 0.1 else at + int(random.integers(-1, 4))
        at = min(max(at, 0), len(expected) - 1)
        if random.random() < 0.2:
            numbers = [min(at + int(step), len(expected) - 1) for step in random.integers(0, 9, 3)]
            assert np.array_equal(video[numbers].numpy(), np.stack([expected[number] for number in numbers]))
        else:
            assert np.array_equal(video[at].numpy(), expected[at]), f"frame {at}"


def test_two_walks_that_take_turns(walked: Walked) -> None:
    path, expected = walked("h264-open-gop")
    video = dl.load_video(path)
    for one, other in zip(range(100), range(60, 160), strict=True):
        walk(video, expected, [one, other])
    for one, other in zip(range(30), range(29, -1, -1), strict=True):
        walk(video, expected, [one, other])


def test_many_walks_at_once_over_one_video(lake: str, walked: Walked) -> None:
    path, expected = walked("h264-open-gop")
    video = dl.upload(path, prefix="/stepping", progress=False)
    strides = [range(0, 200, 2), range(1, 200, 3), range(100, 160), range(60), range(199, 100, -2), range(0, 200, 11)]
    gather(*[partial(walk, video, expected, numbers) for numbers in strides])


def test_walks_over_more_videos_than_decoders_wait(tmp_path: Path) -> None:
    """Seven videos in turns: decoders that wait for one are taken for another, and nothing gets mixed up."""
    videos = []
    for number in range(7):
        size = (64, 48) if number % 2 else (96, 64)
        options = {"preset": "veryfast", "g": str(20 + number), "crf": str(15 + 3 * number)}
        path = Clip(options=options, size=size, frames=40).make(tmp_path / f"{number}.mp4")
        videos.append((dl.load_video(path), decode_plain(path)))
    for step in range(0, 40, 2):
        for video, expected in videos:
            walk(video, expected, [step])
    for step in range(39, 0, -7):
        for video, expected in videos[::-1]:
            walk(video, expected, [step, step - 1])


def test_pictures_of_a_walk_belong_to_the_caller(walked: Walked) -> None:
    path, expected = walked("h264-pyramid")
    video = dl.load_video(path)
    for number in range(40):
        picture = video[number].numpy()
        assert np.array_equal(picture, expected[number])
        picture[...] = 0
    walk(video, expected, range(40))


def test_a_walk_may_change_its_mind_about_the_form(walked: Walked) -> None:
    path, expected = walked("h264-pyramid")
    video = dl.load_video(path)
    deep = video.numpy(dtype="uint16", size=(48, 80))
    for number in range(0, 60, 2):
        assert np.array_equal(video[number].numpy(), expected[number])
        assert np.array_equal(video[number].numpy(dtype="uint16", size=(48, 80)), deep[number])
        assert np.array_equal(video[number + 1].numpy(dtype="uint16", size=(48, 80)), deep[number + 1])
