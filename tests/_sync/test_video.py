# Generated from tests/_async/test_video.py by scripts/unasync.py. Edit that file, then run it.
"""A Video as seed 1 describes it: properties, indexing, slices of slices, data access, repr, pickling."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import dreamlake as dl
from dreamlake.errors import DreamlakeError, FrameIndexError, UsageError
from tests.clips import Clip, decode_plain, real_clip

BIKES = real_clip("bikes.mp4")  # 250 frames, 25 frames/s, 640x272


def bikes() -> dl.Video:
    return dl.upload(BIKES, prefix="/video", progress=False)


def test_properties(lake: str) -> None:
    video = bikes()
    assert re.fullmatch(r"v-[0-9A-Za-z]{16}", video.id)
    assert video.uri.startswith("bss://")
    assert video.uri.split("/")[-2] == "videos"
    assert (video.fps, video.st, video.et, video.duration) == (25.0, 0.0, 10.0, 10.0)
    assert (video.frames, len(video), video.width, video.height) == (250, 250, 640, 272)


def test_a_slice_is_a_video_with_the_same_interface(lake: str) -> None:
    video = bikes()
    clip = video[2.0:4.0]
    assert type(clip) is type(video)
    assert (clip.id, clip.uri, clip.fps) == (video.id, video.uri, 25.0)
    assert (clip.st, clip.et, clip.duration, clip.frames) == (2.0, 4.0, 2.0, 50)
    inner = clip[0.5:1.5]
    assert (inner.st, inner.et) == (2.5, 3.5)
    assert clip[0] == video[50]
    assert clip[0.5:1.5][0] == video[63]  # the first frame that begins at or after 2.5 s
    assert clip[-1] == video[99]
    assert video[50:100].frames == 50
    assert (video[50:100].st, video[50:100].et) == (2.0, 4.0)
    assert video[50:100][10:20] == video[60:70]
    assert video[3.01] == video[75]


def test_indexes_outside_of_the_clip(lake: str) -> None:
    video = bikes()
    clip = video[2.0:4.0]
    for bad in (50, -51, 2.0, 99.0, -2.01):
        with pytest.raises(IndexError) as raised:
            clip[bad]
        assert isinstance(raised.value, FrameIndexError)
        assert isinstance(raised.value, DreamlakeError)
    assert clip[10:1000] == clip[10:]
    assert clip[1.0:1000.0] == clip[1.0:]
    assert len(clip[60:]) == 0


def test_what_cannot_be_an_index(lake: str) -> None:
    video = bikes()
    for bad in ("1", None, True, float("nan"), slice(1, 2.0), slice("a", None)):
        with pytest.raises(UsageError):
            video[bad]


def test_numbers_of_other_libraries_are_indexes_too(lake: str) -> None:
    video = bikes()
    assert video[np.int64(7)] == video[7]
    assert video[np.float32(0.5)] == video[0.5]
    assert video[torch.tensor(7)] == video[7]
    assert video[np.int32(7) : np.int32(9)] == video[7:9]


def test_shapes(lake: str) -> None:
    video = bikes()
    assert video[3:9].numpy().shape == (6, 272, 640, 3)
    assert video[3].numpy().shape == (272, 640, 3)
    assert video[3].numpy(keepdims=True).shape == (1, 272, 640, 3)
    assert video[3:3].numpy().shape == (0, 272, 640, 3)
    assert video[3:9].tensor().shape == (6, 3, 272, 640)
    assert video[3].tensor().shape == (272, 640, 3)
    assert video[3].tensor(keepdims=True).shape == (1, 3, 272, 640)
    pixels = video[3:9].numpy()
    assert pixels.dtype == np.uint8
    assert np.array_equal(video[3:9].tensor().permute(0, 2, 3, 1).numpy(), pixels)


def test_images(lake: str) -> None:
    video = bikes()
    expected = decode_plain(BIKES)
    image = video[42].image
    assert (image.mode, image.size) == ("RGB", (640, 272))
    assert np.array_equal(np.asarray(image), expected[42])
    assert np.array_equal(np.asarray(video.thumbnail), expected[125])
    assert np.array_equal(np.asarray(video[2.0:4.0].thumbnail), expected[75])
    assert np.array_equal(np.asarray(video[2.0:4.0].image), expected[50])
    with pytest.raises(FrameIndexError):
        video[3:3].image


def test_repr(lake: str) -> None:
    video = bikes()
    name = type(video).__name__
    uri = f"bss://...{video.uri.rsplit('/', 1)[-1]}"
    assert repr(video) == f'{name}("{uri}", fps=25.0, duration=10.0, 640x272)'
    assert repr(video[2.0:4.0]) == f'{name}("{uri}", st=2.0, et=4.0, duration=2.0)'


def test_equality_and_hash(lake: str) -> None:
    video, again = bikes(), bikes()
    assert video == again
    assert len({video[1:3], again[1:3], again[1:4]}) == 2
    assert video[1:3] != video[1:4]
    assert video != 1


def test_pickling(lake: str) -> None:
    video = bikes()
    for clip in (video, video[3], video[2.0:4.0], video[::-3]):
        data = pickle.dumps(clip)
        assert len(data) < 1024
        same = pickle.loads(data)
        assert same == clip
        assert repr(same) == repr(clip)
        assert np.array_equal(same.numpy(), clip.numpy())


def test_iterating_a_video_gives_lazy_frames(lake: str) -> None:
    video = bikes()
    assert [frame.st for frame in video[10:13]] == [0.4, 0.44, 0.48]


def test_the_iterator_may_be_left_early(lake: str) -> None:
    video = bikes()
    expected = decode_plain(BIKES)
    for picture in video.iterator():
        assert np.array_equal(picture, expected[0])
        break
    assert np.array_equal(video[-1].numpy(), expected[-1])


def test_times_are_those_of_the_pictures_when_their_rate_varies(fresh_lake: Path, tmp_path: Path) -> None:
    stamps = (0, 10, 200, 250, 1000, 1001, 1500)
    path = Clip(options={"preset": "veryfast"}, frames=7, pts=stamps).make(tmp_path / "variable.mp4")
    video = dl.upload(path, progress=False)
    assert [frame.st for frame in video] == pytest.approx([stamp / 1000 for stamp in stamps])
    assert video[0.199] == video[1]
    assert video[0.2] == video[2]
    assert video[0.9] == video[3]
    assert video[0.3:0.9] == video[0.3:0.9]
    assert list(video[0.3:0.9]._selection.frames) == [3]  # nothing begins there: the one on display
    assert video[0.2:1.001].frames == 3
