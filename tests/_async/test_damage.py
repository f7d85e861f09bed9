"""Damaged files end in an error that says so, or in the right frames: never in a wrong one, a crash or a hang."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import dreamlake.aio as adl
from dreamlake.errors import DreamlakeError, MediaError
from dreamlake.media import pool
from tests.clips import Clip, decode_plain
from tests.corpus import make
from tests.corpus.changes import PLAIN, joined
from tests.corpus.oracle import plain
from tests.corpus.traps import SIZE, film

Pictures = list[NDArray[np.uint8]]

CONTAINERS = (
    *("moov-in-front", "moov-at-the-end", "fragmented", "vfr-mkv", "mkv-live", "avi-b-frames", "ts-start-time"),
    *("hevc-open-gop", "av1-yuv420p", "webm", "fields-mkv", "mpeg4-yuv420p-avi", "mjpeg-yuvj422p-avi"),
)
IN_A_LAKE = ("moov-in-front", "vfr-mkv", "avi-b-frames", "webm")


def shown(path: Path) -> Pictures:
    """What a plain decode shows that goes on after errors, as players do."""
    pictures: Pictures = []
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        for packet in container.demux(video=0):
            try:
                frames = context.decode(packet if packet.size else None)
            except av.error.FFmpegError:
                continue
            pictures += [frame.to_ndarray(format="rgb24") for frame in frames]
    return pictures


async def readable(video: adl.Video) -> dict[int, NDArray[np.uint8]]:
    """Frames that can be read, each asked for alone; the others say why not."""
    found = {}
    for number in range(0, video.frames, 3):
        try:
            found[number] = await video[number].numpy()
        except MediaError as error:
            assert str(error)
    return found


def among(picture: NDArray[np.uint8], pictures: Pictures) -> bool:
    return any(np.array_equal(picture, other) for other in pictures)


@pytest.mark.parametrize("name", CONTAINERS)
async def test_cut_short(corpus: Path, tmp_path: Path, name: str) -> None:
    whole = make(name, corpus)
    data = whole.read_bytes()
    originals, _ = plain(whole)
    for number, length in enumerate([*(len(data) * part // 20 for part in (1, 4, 9, 13, 17, 19)), len(data) - 1]):
        path = tmp_path / f"{number}{whole.suffix}"
        path.write_bytes(data[:length])
        try:
            video = await adl.load_video(path)
        except MediaError as error:
            assert path.name in str(error)
            continue
        assert len(originals) >= video.frames > 0
        expected = shown(path)
        for frame, picture in (await readable(video)).items():
            assert among(picture, [expected[frame], originals[frame]]), f"{length} bytes, frame {frame}"


@pytest.mark.parametrize("name", IN_A_LAKE)
async def test_cut_short_and_uploaded(_home: Path, corpus: Path, tmp_path: Path, name: str) -> None:
    whole = make(name, corpus)
    data = whole.read_bytes()
    for number, part in enumerate((2, 10, 18)):
        path = tmp_path / f"{number}{whole.suffix}"
        path.write_bytes(data[: len(data) * part // 20])
        try:
            video = await adl.upload(path, prefix="/damage", progress=False)
        except DreamlakeError:
            continue
        expected = shown(path)
        assert video.frames == len(expected)
        for frame, picture in (await readable(video)).items():
            assert np.array_equal(picture, expected[frame]), f"part {part}, frame {frame}"


@pytest.mark.parametrize("name", CONTAINERS)
async def test_a_bit_anywhere(corpus: Path, tmp_path: Path, name: str) -> None:
    """Whatever it says then, it is read to its end or refused."""
    whole = make(name, corpus)
    data = whole.read_bytes()
    chance = random.Random(name)
    for number in range(12):
        broken = bytearray(data)
        broken[chance.randrange(min(len(data), 4000))] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{number}{whole.suffix}"
        path.write_bytes(broken)
        try:
            video = await adl.load_video(path)
        except MediaError as error:
            assert path.name in str(error)
            continue
        for picture in (await readable(video)).values():
            assert picture.shape == (video.height, video.width, 3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
async def test_a_bit_in_a_picture(tmp_path: Path, suffix: str) -> None:
    """The frames of other GOPs are untouched, and those of its own are the same for everyone, or an error."""
    whole = film(tmp_path / f"whole{suffix}", options={"g": "10", "bf": "0", "sc_threshold": "0"}, count=50)
    data = whole.read_bytes()
    originals, _ = plain(whole)
    with av.open(str(whole)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    chance = random.Random(suffix)
    errors = 0
    for number in (10, 13, 20, 25, 31, 39, 44):
        at = data.find(packets[number][-24:])  # its end lies in one piece, in a transport stream too
        if at < 0:
            continue
        broken = bytearray(data)
        broken[at + chance.randrange(24)] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(broken)
        video = await adl.load_video(path)
        expected = shown(path)
        assert video.frames == len(originals)
        found = await readable(video)
        for frame, picture in found.items():
            own = frame // 10 == number // 10 and frame >= number
            others = [originals[frame], expected[frame]] if own and frame < len(expected) else [originals[frame]]
            assert among(picture, others), f"bit in {number}, frame {frame}"
        assert all(frame // 10 == number // 10 for frame in set(range(0, 50, 3)) - set(found))
        errors += len(found) < len(range(0, 50, 3))
    assert errors > 0, "no bit did any harm, and this test says nothing"


async def test_a_size_that_changes(_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "sizes.mkv"
    joined(path, "libx264", (PLAIN, SIZE), (PLAIN, (128, 96)), count=30)
    expected = shown(path)
    assert [picture.shape for picture in expected] == [(64, 96, 3)] * 30 + [(96, 128, 3)] * 30
    for video in (await adl.load_video(path), await adl.upload(path, prefix="/damage", progress=False)):
        assert (video.frames, video.width, video.height) == (60, 96, 64)
        assert np.array_equal(await video[:30].numpy(), np.stack(expected[:30]))
        for clip in (video[30], video[59], video[25:35], video):
            with pytest.raises(MediaError, match="128x96: the size changes"):
                await clip.numpy()


async def test_what_comes_before_the_damage_is_given_out(_home: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.mp4"
    clip = Clip(options={"preset": "veryfast", "g": "60", "bf": "3", "x264-params": "b-adapt=0"}, frames=60)
    expected = decode_plain(clip.make(path))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    hurt = packets[40]
    data[hurt.pos : hurt.pos + 4] = b"\xff\xff\xff\xff"  # the length of its unit, which no decoder takes
    path.write_bytes(data)
    video = await adl.load_video(path)

    good: list[NDArray[np.uint8]] = []
    with pytest.raises(MediaError):
        async for picture in video.iterator():
            good += [picture]
    assert 30 <= len(good) < 60
    assert np.array_equal(good, expected[: len(good)])

    # A walk loses no frame that can be had alone.
    alone, walked = set(), set()
    for number in range(60):
        pool.decoders = pool.DecoderPool()
        with suppress(MediaError):
            assert np.array_equal(await video[number].numpy(), expected[number])
            alone.add(number)
    for number in range(60):
        with suppress(MediaError):
            assert np.array_equal(await video[number].numpy(), expected[number])
            walked.add(number)
    assert walked >= alone
    assert set(range(30)) <= alone
    assert len(alone) < 60
