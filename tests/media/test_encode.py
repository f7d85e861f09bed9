"""Rollouts as mp4: what is lost, what is not, and that the same pictures are the same bytes."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from PIL import Image

from dreamlake.core.boxes import count_samples
from dreamlake.errors import UsageError
from dreamlake.media.encode import RolloutEncoder, encode_rollout
from dreamlake.media.rollout import decode_mp4


def pictures(number: int, count: int = 49, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A smooth picture that moves."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    whole = np.asarray(Image.fromarray(coarse).resize((size[1] + count, size[0]), Image.Resampling.BICUBIC))
    return np.stack([whole[:, shift : shift + size[1]] for shift in range(count)])


def noise(count: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)


@pytest.mark.parametrize("size", [(48, 64), (31, 17), (1, 1)])
def test_exact_is_exact(size: tuple[int, int]) -> None:
    frames = noise(5, size)
    assert np.array_equal(decode_mp4(encode_rollout(frames, 10, "exact")), frames)


def test_playable_is_what_players_play() -> None:
    frames = pictures(0)
    data = encode_rollout(frames, 10, "playable")
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.profile, context.pix_fmt) == ("h264", "High", "yuv420p")
        assert (stream.average_rate, context.colorspace, context.color_range) == (10, 6, 1)
        assert sum(1 for _ in container.decode(stream)) == 49
    assert count_samples(data) == 49
    brightness = np.array([0.299, 0.587, 0.114])
    error = np.abs((decode_mp4(data) - frames.astype(float)) @ brightness)
    assert error.mean() < 1.5
    assert error.max() < 32


@pytest.mark.parametrize("encoding", ["playable", "exact"])
def test_the_same_pictures_are_the_same_bytes(encoding: str) -> None:
    """Also in pieces, and while others are encoded."""
    several = [pictures(number) for number in (3, 7, 12)]

    def whole(number: int) -> bytes:
        return encode_rollout(several[number % 3], 10, encoding)  # type: ignore[arg-type]  # (one of both)

    expected = [whole(number) for number in range(3)]
    with ThreadPoolExecutor(4) as threads:
        for number, data in enumerate(threads.map(whole, range(90))):
            assert data == expected[number % 3]
    pieces = RolloutEncoder((48, 64), 10, encoding)  # type: ignore[arg-type]  # (as above)
    for frame in several[0]:
        pieces.add(frame[None])
    assert pieces.finish() == expected[0]


@pytest.mark.parametrize("size", [(31, 32), (32, 31)])
def test_odd_sizes_cannot_be_played(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="even height and width"):
        RolloutEncoder(size, 10, "playable")


@pytest.mark.parametrize("count", [1, 2, 21])
def test_every_number_of_frames(count: int) -> None:
    for encoding in ("playable", "exact"):
        data = encode_rollout(noise(count, (32, 32)), 30, encoding)  # type: ignore[arg-type]  # (as above)
        assert len(decode_mp4(data)) == count
