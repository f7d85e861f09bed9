# Generated from tests/_async/test_reading.py by scripts/unasync.py. Edit that file, then run it.
"""Reading in order: iterators and batches over segment borders, left early, reversed, with repeated frames."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamlake as dl
from dreamlake.errors import UsageError
from tests.clips import CLIPS, decode_plain

Made = Callable[[str], Path]


@pytest.fixture(scope="module")
def open_gop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return CLIPS["h264-open-gop"].make(tmp_path_factory.mktemp("open") / "open.mp4")


NUMBERS = list(range(60))


@pytest.mark.parametrize(
    ("key", "numbers"),
    [
        (slice(None), NUMBERS),
        (slice(7, 53), NUMBERS[7:53]),
        (slice(None, None, 7), NUMBERS[::7]),
        (slice(None, None, -1), NUMBERS[::-1]),
        (slice(50, 5, -3), NUMBERS[50:5:-3]),
        (slice(0.0, 12.0, 0.15), [number * 3 // 4 for number in range(80)]),  # some of them twice
        ([5, 5, 59, 0, 20, 19], [5, 5, 59, 0, 20, 19]),
        (slice(3, 3), []),
        (slice(9, 10), [9]),
    ],
    ids=lambda value: str(value)[:24],
)
def test_pictures_one_after_the_other(made: Made, key: Any, numbers: list[int]) -> None:
    video = dl.load_video(made("seed"))
    expected = np.stack(decode_plain(made("seed")))[numbers]
    clip = video[key]
    shown = [picture for picture in clip.iterator()]
    assert len(shown) == len(numbers)
    assert all(np.array_equal(picture, wanted) for picture, wanted in zip(shown, expected, strict=True))
    for size in (1, 4, 16, 1000):
        batches = [batch for batch in clip.iterator(batch_size=size)]
        assert [len(batch) for batch in batches] == [
            min(size, len(numbers) - at) for at in range(0, len(numbers), size)
        ]
        if batches:
            assert np.array_equal(np.concatenate(batches), expected)


def test_batches_cross_the_borders_of_segments(lake: str, open_gop: Path) -> None:
    video = dl.upload(open_gop, prefix="/reading", progress=False)
    expected = np.stack(decode_plain(open_gop))
    for key in (slice(None), slice(None, None, 3), slice(199, None, -1)):
        batches = [batch for batch in video[key].iterator(batch_size=33)]
        assert {len(batch) for batch in batches[:-1]} == {33} or len(batches) == 1
        assert np.array_equal(np.concatenate(batches), expected[key])


def test_an_iterator_gives_pictures_in_any_form(made: Made) -> None:
    video = dl.load_video(made("seed"))
    for key in (slice(8, 13), slice(13, 8, -1)):
        clip = video[key]
        form: dict[str, Any] = {"layout": "NCHW", "size": (48, 64), "dtype": "float32"}
        expected = clip.numpy(**form)
        assert np.array_equal([picture for picture in clip.iterator(**form)], expected)
        assert np.array_equal([batch for batch in clip.iterator(5, **form)], [expected])


def test_pictures_that_are_kept_do_not_change(made: Made) -> None:
    video = dl.load_video(made("seed"))
    kept = [picture for picture in video.iterator()]
    for picture in video.iterator():
        picture[...] = 0
    assert np.array_equal(kept, decode_plain(made("seed")))


@pytest.mark.parametrize("batch_size", [0, -1, 1.0, 2.5, "3", True, np.float64(2)])
def test_what_is_no_batch(made: Made, batch_size: Any) -> None:
    video = dl.load_video(made("seed"))
    for iterator in (video.iterator(batch_size), video.chunk(2.0).iterator(batch_size)):
        with pytest.raises(UsageError, match="batch"):
            for _ in iterator:
                pass


def test_clips_one_after_the_other(made: Made) -> None:
    video = dl.load_video(made("seed"))
    expected = np.stack(decode_plain(made("seed"))).reshape(6, 10, 240, 360, 3)
    clips = video.chunk(2.0)
    assert np.array_equal([clip for clip in clips.iterator()], expected)
    assert np.array_equal([clip for clip in clips[::-1, 0].iterator()], expected[::-1, 0])
    assert np.array_equal([clip for clip in clips[:, 0].iterator(keepdims=True)], expected[:, :1])
    batches = [batch for batch in clips.iterator(4)]
    assert [len(batch) for batch in batches] == [4, 2]
    assert np.array_equal(np.concatenate(batches), expected)
    batches = [batch for batch in clips[[5, 0, 5], 3].iterator(np.int64(2), layout="NCHW", keepdims=True)]
    assert np.array_equal(np.concatenate(batches), np.moveaxis(expected[[5, 0, 5], 3:4], -1, 2))
    assert [batch for batch in clips[:0].iterator(4)] == [clip for clip in clips[:0].iterator()] == []


def test_batches_of_clips_are_padded_to_their_own_longest(made: Made) -> None:
    video = dl.load_video(made("seed"))
    clips = video.chunk(5.0)  # 25, 25 and 10 frames
    shapes = [batch.shape[:2] for batch in clips[[0, 2, 2]].iterator(2, pad="zero", size=(8, 8))]
    assert shapes == [(2, 25), (1, 10)]
    lengths = [len(clip) for clip in clips.iterator(size=(8, 8))]
    assert lengths == [25, 25, 10]
    with pytest.raises(UsageError, match="lengths"):
        for _ in clips.iterator(3):
            pass


def test_iterators_may_be_left_early(lake: str, made: Made) -> None:
    video = dl.upload(made("seed"), prefix="/reading", progress=False)
    expected = decode_plain(made("seed"))
    for stop in (0, 1, 9, 10, 11, 45):
        for iterator, pictures in ((video.iterator(), expected), (video[::-1].iterator(), expected[::-1])):
            count = 0
            with closing(iterator) as opened:
                for picture in opened:
                    assert np.array_equal(picture, pictures[count])
                    count += 1
                    if count > stop:
                        break
    with closing(video.chunk(2.0).iterator(2)) as batches:
        for batch in batches:
            assert np.array_equal(batch, np.stack(expected[:20]).reshape(2, 10, 240, 360, 3))
            break
    assert np.array_equal(video.numpy(), expected)


def test_an_error_of_the_consumer_is_the_consumers(made: Made) -> None:
    video = dl.load_video(made("seed"))
    with pytest.raises(ZeroDivisionError):
        with closing(video.iterator(4)) as batches:
            for _ in batches:
                raise ZeroDivisionError
    assert np.array_equal(video[59].numpy(), decode_plain(made("seed"))[59])
