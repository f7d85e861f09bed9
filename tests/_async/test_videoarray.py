"""Clips as one array: how they are chosen, what they are as values, and the shapes of seed 1."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dreamlake.aio as adl
from dreamlake._async._runtime import ASYNC
from dreamlake.errors import FrameIndexError, UsageError
from tests.clips import decode_plain, real_clip

BIKES = real_clip("bikes.mp4")  # 250 frames, 25 frames/s, 640x272

Made = Callable[[str], Path]

# How many pictures a notebook shows of a video: in the async API they would have to be awaited.
SHOWN = 1
if ASYNC:
    SHOWN = 0


async def clips_of_six(made: Made) -> adl.AsyncVideoArray:
    """Six clips of ten frames."""
    return (await adl.load_video(made("seed"))).chunk(2.0)


def numbers(clips: Any) -> list[list[int]]:
    """Which frames of the video each clip has, by when they are shown: 5 a second."""
    return [np.rint(clip.timestamps * 5).astype(int).tolist() for clip in clips]


# -- seed 1


async def test_the_shapes_of_the_seed(lake: str, made: Made) -> None:
    video = await adl.upload(made("seed"), prefix="/array", progress=False)
    expected = np.stack(decode_plain(made("seed"))[6:12])
    clip = video[1.2:2.4]
    clips = clip.chunk(0.200)
    assert type(clips) is adl.AsyncVideoArray
    assert (await clips.tensor()).shape == (6, 240, 360, 3)
    assert (await clips[:, 0].tensor()).shape == (6, 240, 360, 3)
    assert (await clips[0].tensor()).shape == (240, 360, 3)
    assert (await clips[0:3].tensor()).shape == (3, 240, 360, 3)
    assert np.array_equal(await clips.tensor(), expected)
    assert np.array_equal(await clips[:, 0].tensor(), expected)
    assert np.array_equal(await clips[0].tensor(), expected[0])
    assert np.array_equal(await clips[0:3].tensor(), expected[:3])
    assert (await clips[:, 0].tensor()).to("cpu").dtype == torch.uint8


async def test_chunks_by_key_frames(made: Made) -> None:
    video = await adl.load_video(made("seed"))  # a key frame every second
    clip = video[1.2:5.4]
    chunks = clip.chunk(1.5, by_iframe=True)
    assert (chunks.st.tolist(), chunks.et.tolist()) == ([1.2, 3.0, 4.0], [3.0, 4.0, 5.4])
    assert [chunk[0].keyframes.tolist() for chunk in chunks] == [[], [0], [0]]
    assert numbers(chunks) == [[*range(6, 15)], [*range(15, 20)], [*range(20, 27)]]
    assert numbers([video[video.keyframes]]) == [[*range(0, 60, 5)]]
    assert video.chunk(2) == video.chunk(2.0)
    for bad in (0, -1.0, float("nan"), "1"):
        for by_iframe in (False, True):
            with pytest.raises(UsageError, match="chunk"):
                video.chunk(bad, by_iframe=by_iframe)


async def test_chunks_of_a_chunk(made: Made) -> None:
    clips = await clips_of_six(made)
    assert numbers(clips[2].chunk(1.0)) == [[*range(20, 25)], [*range(25, 30)]]
    assert [clip.st for clip in clips[2].chunk(1.0)] == [4.0, 5.0]


# -- indexing


@pytest.mark.parametrize(
    ("key", "chosen"),
    [
        (slice(2, 5), [2, 3, 4]),
        (slice(None), [0, 1, 2, 3, 4, 5]),
        (slice(None, None, -2), [5, 3, 1]),
        (slice(-2, 99), [4, 5]),
        (slice(3, 3), []),
        ([0, 4], [0, 4]),
        ([4, 0, 4, -1], [4, 0, 4, 5]),
        (np.array([0, 4]), [0, 4]),
        (torch.tensor([0, 4]), [0, 4]),
        ([True, False, False, False, True, False], [0, 4]),
        (np.arange(6) % 2 == 1, [1, 3, 5]),
        ([], []),
    ],
    ids=str,
)
async def test_several_clips(made: Made, key: Any, chosen: list[int]) -> None:
    clips = await clips_of_six(made)
    assert type(clips[key]) is type(clips)
    assert numbers(clips[key]) == [[*range(number * 10, number * 10 + 10)] for number in chosen]
    assert len(clips[key]) == len(chosen)


async def test_one_clip(made: Made) -> None:
    clips = await clips_of_six(made)
    for key, start in ((2, 20), (-1, 50), (np.int64(2), 20), (torch.tensor(2), 20)):
        assert type(clips[key]) is adl.AsyncVideo
        assert numbers([clips[key]]) == [[*range(start, start + 10)]]


async def test_a_second_index_is_that_of_every_clip(made: Made) -> None:
    clips = await clips_of_six(made)
    starts = [0, 10, 20, 30, 40, 50]
    assert numbers(clips[:, 0]) == [[start] for start in starts]
    assert numbers(clips[:, -1]) == [[start + 9] for start in starts]
    assert numbers(clips[:, ::4]) == [[start, start + 4, start + 8] for start in starts]
    assert numbers(clips[:, ::-3]) == [[start + 9, start + 6, start + 3, start] for start in starts]
    assert numbers(clips[2:5, 0:3]) == [[start, start + 1, start + 2] for start in (20, 30, 40)]
    assert numbers(clips[[4, 0], [1, 1, 5]]) == [[41, 41, 45], [1, 1, 5]]
    assert numbers(clips[np.arange(6) == 3, 1:]) == [[*range(31, 40)]]
    assert numbers(clips[:2, [True, *[False] * 8, True]]) == [[0, 9], [10, 19]]


async def test_times_of_every_clip(made: Made) -> None:
    clips = await clips_of_six(made)
    starts = [0, 10, 20, 30, 40, 50]
    assert numbers(clips[:, 0.5]) == [[start + 2] for start in starts]
    assert numbers(clips[:, -0.1]) == [[start + 9] for start in starts]
    assert numbers(clips[:, 0.0:1.0]) == [[*range(start, start + 5)] for start in starts]
    assert numbers(clips[:, 0.0:2.0:0.5]) == [[start, start + 2, start + 5, start + 7] for start in starts]
    assert numbers(clips[:, [0.0, 1.9]]) == [[start, start + 9] for start in starts]


async def test_a_clip_and_a_frame_of_it(made: Made) -> None:
    clips = await clips_of_six(made)
    assert clips[1, 0] == clips[1][0]
    assert clips[-1, 0.5] == clips[5][0.5]
    assert numbers([clips[1, 2:4]]) == [[12, 13]]
    assert type(clips[1, 0]) is adl.AsyncVideo


@pytest.mark.parametrize("key", [6, -7, [0, 6], (6, 0), ([0, -7], 0), 10**30])
async def test_clips_that_are_not_there(made: Made, key: Any) -> None:
    clips = await clips_of_six(made)
    with pytest.raises(FrameIndexError, match=r"clip -?\d+ is outside of an array of 6 clips"):
        clips[key]


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ((slice(None), 10), "clip 0: frame 10 is outside of a clip of 10 frames"),
        ((slice(2, 5), 10), "clip 2: frame 10"),
        (([5, 3], -11), "clip 5: frame -11"),
        ((4, 10), "clip 4: frame 10"),
        ((-1, [0, 99]), "clip 5: frame 99"),
        ((slice(3, None), 2.0), r"clip 3: 2\.0 s is outside of a clip of 2 s"),
    ],
    ids=str,
)
async def test_frames_that_are_not_there(made: Made, key: Any, named: str) -> None:
    clips = await clips_of_six(made)
    with pytest.raises(FrameIndexError, match=named):
        clips[key]


async def test_the_first_clip_that_is_too_short_is_named(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    clips = video.chunk(5.0)
    assert clips.frames.tolist() == [25, 25, 10]
    with pytest.raises(FrameIndexError, match="clip 2: frame 20 is outside of a clip of 10 frames"):
        clips[:, 20]
    assert numbers(clips[:, -11:]) == [[*range(14, 25)], [*range(39, 50)], [*range(50, 60)]]  # slices are clamped


@pytest.mark.parametrize(
    "key",
    [1.0, [1.0], np.array([0.0]), slice(0.0, 2.0), slice(0, 6, 0), None, True, "0", ..., [True], [0, 1.0],
     (0, 0, 0), (slice(None), 0, 0), (), (0,), (1.0, 0), (slice(None), "0"), (slice(None), None), (0, True)],
    ids=str,
)  # fmt: skip
async def test_what_is_no_index_of_clips(made: Made, key: Any) -> None:
    clips = await clips_of_six(made)
    with pytest.raises(UsageError):
        clips[key]


async def test_clips_of_a_shuffled_video_have_frames_and_no_times(made: Made) -> None:
    clips = (await clips_of_six(made))[:, ::-1]
    assert numbers(clips[:, 0]) == [[9], [19], [29], [39], [49], [59]]
    with pytest.raises(UsageError, match="reversed or shuffled"):
        clips[:, 0.5]


# -- as values


async def test_an_array_is_a_sequence_of_videos(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    clips = video.chunk(5.0)
    assert len(clips) == 3
    assert [clip.frames for clip in clips] == [25, 25, 10]
    assert list(clips) == [clips[0], clips[1], clips[2]] == [video[0.0:5.0], video[5.0:10.0], video[10.0:]]
    assert video[5.0:10.0] in clips
    assert clips.frames.tolist() == [25, 25, 10]
    assert clips.st.tolist() == [0.0, 5.0, 10.0]
    assert clips.et.tolist() == [5.0, 10.0, 12.0]


async def test_arrays_of_several_videos_are_strung_together(made: Made) -> None:
    seed, bikes = await adl.load_video(made("seed")), await adl.load_video(BIKES)
    clips = seed.chunk(6.0) + bikes.chunk(5.0)
    assert list(clips) == [*seed.chunk(6.0), *bikes.chunk(5.0)]
    assert clips + bikes == adl.AsyncVideoArray([seed.chunk(6.0), bikes.chunk(5.0), bikes])
    assert adl.AsyncVideoArray(iter([seed, bikes]))[1] == bikes
    assert adl.AsyncVideoArray(seed)[:3] == adl.AsyncVideoArray([seed[0], seed[1], seed[2]])  # its frames
    for bad in (1, [bikes], None):
        with pytest.raises(TypeError):
            clips + bad
    for bad in ([1], [seed, None], ["v-BV1bW411n7fY9x01"]):
        with pytest.raises(UsageError, match="made of videos"):
            adl.AsyncVideoArray(bad)


async def test_equality_and_hash(made: Made) -> None:
    clips, again = await clips_of_six(made), await clips_of_six(made)
    assert clips == again
    assert hash(clips) == hash(again)
    assert clips[::-1] != clips
    assert clips[:5] != clips
    assert clips != list(clips)
    assert len({clips, again, clips[:5]}) == 2


async def test_repr(made: Made) -> None:
    video = await adl.load_video(made("seed"))
    name, chunks = adl.AsyncVideoArray.__name__, video.chunk(5.0)
    assert repr(chunks[:2]) == f"{name}(2 clips, 25 frames each)"
    assert repr(chunks) == f"{name}(3 clips, 10 to 25 frames each)"
    assert repr(chunks[:1]) == f"{name}(1 clip, 25 frames each)"
    assert repr(chunks[:, 0]) == f"{name}(3 clips, 1 frame each)"
    assert repr(chunks[:0]) == f"{name}(no clips)"
    assert repr(chunks[:2] + await adl.load_video(BIKES)) == f"{name}(3 clips of 2 videos, 25 to 250 frames each)"


async def test_pickles(lake: str, made: Made) -> None:
    video = await adl.upload(made("seed"), prefix="/array", progress=False)
    clips = video[1.2:2.4].chunk(0.200)
    data = pickle.dumps(clips)
    assert len(data) < 2000
    assert len(pickle.dumps(video.chunk(0.2))) < 6000  # 60 clips
    same = pickle.loads(data)
    assert same == clips
    assert repr(same) == repr(clips)
    assert np.array_equal(await same.numpy(), await clips.numpy())


async def test_every_half_second_is_a_small_pickle(lake: str, made: Made) -> None:
    film = await adl.upload(made("film"), prefix="/array", progress=False)
    halves = film[0.0:5.0:0.5]
    assert halves.frames == 10
    for clip in (film, film[3], film[1.0:2.0], film[5:], film[::7], film[::-1], halves, film[[5, 3, 3]]):
        data = pickle.dumps(clip)
        assert len(data) < 1024
        assert pickle.loads(data) == clip


# -- notebooks


async def test_notebooks_show_clips(made: Made) -> None:
    clips = (await adl.load_video(made("seed"))).chunk(0.2)
    html = clips._repr_html_()
    assert html.count("data:image/jpeg;base64,") == 6 * SHOWN
    assert "54 more" in html
    assert repr(clips) in html
    assert "<script" not in clips[:2]._repr_html_()
    assert clips[:2]._repr_html_().count("<img") == 2 * SHOWN
    assert clips[:0]._repr_html_().count("<img") == 0
    assert clips[:2][:, :0]._repr_html_().count("<img") == 0


async def test_notebooks_show_a_video(lake: str, made: Made) -> None:
    video = await adl.upload(made("seed"), prefix="/array", progress=False)
    html, png = video._repr_html_(), video._repr_png_()
    for fact in (video.id, video.uri, "12.0 s", "60 of 60", "5.0 a second", "360x240"):
        assert str(fact) in html
    assert html.count("data:image/jpeg;base64,") == SHOWN
    assert png is None if not SHOWN else png.startswith(b"\x89PNG")
    assert "10 of 60" in video[2.0:4.0]._repr_html_()


async def test_a_name_is_no_markup(tmp_path: Path, made: Made) -> None:
    path = tmp_path / "<b>&.mp4"
    path.write_bytes(made("seed").read_bytes())
    video = await adl.load_video(path)
    assert "<b>" not in video._repr_html_()
    assert "<b>" not in video.chunk(6.0)._repr_html_()


async def test_pixels_that_cannot_be_had_are_no_exception_in_a_notebook(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "run.mp4"
    path.write_bytes(made("seed").read_bytes())
    video = await adl.load_video(path)
    path.unlink()
    for shown in (video, video.chunk(2.0)):
        assert "<img" not in shown._repr_html_()
        assert repr(shown)
    assert video._repr_png_() is None


async def test_a_lake_that_is_gone_is_no_exception_in_a_notebook(served: str, made: Made, unused_port: int) -> None:
    adl.connect(served)
    clips = (await adl.upload(made("seed"), prefix="/array", progress=False)).chunk(2.0)
    adl.connect()
    elsewhere = pickle.dumps(clips).replace(served.rsplit(":")[-1].encode(), str(unused_port).encode())
    gone = pickle.loads(elsewhere)
    assert f":{unused_port}/" in gone[0].uri
    for shown in (gone, gone[0]):
        html = shown._repr_html_()
        assert "<img" not in html
        assert "st=0.0, et=2.0, duration=2.0" in html
    assert "10 of 60" in gone[0]._repr_html_()
    assert gone[0]._repr_png_() is None


async def test_a_video_that_is_not_loaded_yet_shows_that(served: str, made: Made) -> None:
    adl.connect(served)
    video = await adl.upload(made("seed"), prefix="/array", progress=False, wait=False)
    same = await adl.upload(made("seed"), prefix="/array", progress=False, wait=False)
    clips = adl.AsyncVideoArray([video, same])
    assert "not loaded" in repr(video)
    assert repr(clips) == f"{type(clips).__name__}(2 clips, not loaded)"
    if ASYNC:
        with pytest.raises(UsageError, match="load"):
            clips.frames  # noqa: B018 (it is what raises)
    assert (await clips.load())[:, 0].frames.tolist() == [1, 1]
    assert repr(clips) == f"{type(clips).__name__}(2 clips, 60 frames each)"
    adl.connect()
