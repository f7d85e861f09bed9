# Generated from tests/_async/test_fetching.py by scripts/unasync.py. Edit that file, then run it.
"""What a reader fetches: each segment once, whoever wants it, and never a wrong frame out of damaged bytes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import dreamlake as dl
from dreamlake._sync._runtime import gather
from dreamlake.errors import IntegrityError
from dreamlake.media import cache
from tests.clips import SVT, X264, Clip, decode_plain
from tests.proxy import Proxy

SEGMENTS = 6  # of two seconds, ten frames each
FRAMES = 10 * SEGMENTS

_fresh = count()  # both modes read the same lake, and neither finds the other's clips in memory


@pytest.fixture
def proxy(served: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A lake behind a proxy, of which nothing is kept on disk."""
    monkeypatch.setenv("DREAMLAKE_CACHE_BYTES", "0")
    with Proxy(served) as proxy:
        dl.connect(proxy.url)
        yield proxy
        dl.connect()


@pytest.fixture(params=["h264", "av1"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A clip like no other, so that nothing of it is in any cache: MPEG-TS, or fMP4 with its initialisation section."""
    return unique(tmp_path, request.param)


def unique(folder: Path, codec: str = "h264") -> Path:
    number = next(_fresh)
    size = (96 + 2 * (number % 16), 64 + 2 * (number // 16))
    if codec == "av1":
        made = Clip(codec="libsvtav1", options={**SVT, "g": "10"}, size=size, rate=Fraction(5), frames=FRAMES)
    else:
        options = {**X264, "g": "5", "sc_threshold": "0"}  # no key frames but every fifth
        made = Clip(options=options, size=size, rate=Fraction(5), frames=FRAMES)
    return made.make(folder / f"{number}.mp4")


def stored(path: Path, proxy: Proxy) -> dl.Video:
    video = dl.upload(path, prefix="/fetching", progress=False)
    proxy.reset()
    return video


def chunks_of(proxy: Proxy) -> list[str]:
    """The chunks that were asked for, without those that initialise a decoder."""
    return [line for line in proxy.requests if line.startswith("GET /chunks/") and ".mp4" not in line]


def test_an_array_fetches_each_segment_once(proxy: Proxy, clip: Path) -> None:
    video = stored(clip, proxy)
    expected = np.stack(decode_plain(clip))
    clips = video[0.2:11.6].chunk(0.6)[:, [0, 0, 1]]  # repeated, and over all borders
    assert not proxy.requests  # slicing is no I/O
    assert np.array_equal(
        clips[::-1].numpy()[::-1], np.stack([expected[1 + 3 * n : 4 + 3 * n][[0, 0, 1]] for n in range(19)])
    )
    assert len(chunks_of(proxy)) == len(set(chunks_of(proxy))) == SEGMENTS
    assert proxy.count(".m3u8") == 1
    assert proxy.count("GET /chunks/") - SEGMENTS == (1 if proxy.count(".mp4") else 0)
    proxy.reset()
    assert np.array_equal(video.numpy(), expected)
    assert np.array_equal([picture for picture in video.iterator()], expected)
    assert not proxy.requests  # it is all in memory


def test_only_what_is_needed_is_fetched(proxy: Proxy, clip: Path) -> None:
    video = stored(clip, proxy)
    expected = decode_plain(clip)
    assert np.array_equal(video[27].numpy(), expected[27])
    assert len(chunks_of(proxy)) == 1
    assert np.array_equal(video[28].numpy(), expected[28])
    assert len(chunks_of(proxy)) == 1
    assert np.array_equal(video[[45, 3, 44]].numpy(), np.stack([expected[45], expected[3], expected[44]]))
    assert len(chunks_of(proxy)) == len(set(chunks_of(proxy))) == 3
    assert proxy.count("frames.npz") == 0  # the index came with the upload


def test_an_iterator_fetches_each_segment_once(proxy: Proxy, clip: Path) -> None:
    video = stored(clip, proxy)
    shown = [picture for picture in video.iterator()]
    assert np.array_equal(shown, decode_plain(clip))
    assert len(chunks_of(proxy)) == len(set(chunks_of(proxy))) == SEGMENTS


def test_what_memory_does_not_hold_is_fetched_once_too(
    proxy: Proxy, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = stored(clip, proxy)
    largest = int(video._source.index.segment_size.max())
    kept = cache.SegmentCache(3 * largest)
    monkeypatch.setattr(cache, "segments", kept)
    shown = [picture for picture in video.iterator()]
    assert np.array_equal(shown, decode_plain(clip))
    assert len(chunks_of(proxy)) == len(set(chunks_of(proxy))) == SEGMENTS
    assert kept.nbytes == 0  # nobody will come back for them


def test_readers_at_once_share_what_they_fetch(proxy: Proxy, clip: Path) -> None:
    video = stored(clip, proxy)
    expected = np.stack(decode_plain(clip))

    def read(seed: int) -> None:
        numbers = np.random.default_rng(seed).permutation(FRAMES)[:12].tolist()
        for number in numbers[:6]:
            assert np.array_equal(video[number].numpy(), expected[number])
        assert np.array_equal(video[numbers].numpy(), expected[numbers])

    gather(*[partial(read, seed) for seed in range(8)])
    assert len(chunks_of(proxy)) == len(set(chunks_of(proxy))) <= SEGMENTS


def test_a_crowd_asks_once(served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody wants the same frame at the same moment, while it is underway and right after it came."""
    monkeypatch.setenv("DREAMLAKE_CACHE_BYTES", "0")
    path = unique(tmp_path)
    expected = decode_plain(path)
    with Proxy(served, latency=0.02) as proxy:
        dl.connect(proxy.url)
        video = stored(path, proxy)

        def read(number: int) -> None:
            assert np.array_equal(video[number].numpy(), expected[number])

        for segment in range(SEGMENTS):
            gather(*[partial(read, segment * 10 + number % 10) for number in range(16)])
        assert len(chunks_of(proxy)) == SEGMENTS
        dl.connect()


def test_a_byte_damaged_on_the_way_is_fetched_again(proxy: Proxy, clip: Path) -> None:
    video = stored(clip, proxy)
    expected = np.stack(decode_plain(clip))
    for segment in (0, 2):  # once each
        proxy.corrupt(str(video._source.index.segment_name(segment)))
    assert np.array_equal(video.numpy(), expected)
    assert len(set(chunks_of(proxy))) == SEGMENTS
    assert proxy.count("GET /chunks/") - len(set(proxy.requests_of("/chunks/"))) == 2


def test_what_is_damaged_each_time_is_an_error_and_never_a_frame(proxy: Proxy, clip: Path) -> None:
    video = stored(clip, proxy)
    expected = np.stack(decode_plain(clip))
    assert np.array_equal(video[5].numpy(), expected[5])
    name = str(video._source.index.segment_name(2))
    proxy.corrupt(name, forever=True)
    for clips in (video[25], video[18:22], video, video.chunk(2.0), video[::-1]):
        with pytest.raises(IntegrityError, match="segment 2 does not match its hash"):
            clips.numpy()
    number = 0
    with pytest.raises(IntegrityError, match="segment 2"):
        for picture in video.iterator():
            assert np.array_equal(picture, expected[number])
            number += 1
    assert number <= 20
    assert np.array_equal(video[30:].numpy(), expected[30:])  # the rest is what it was


def test_damaged_initialisation_is_an_error_too(proxy: Proxy, tmp_path: Path) -> None:
    path = unique(tmp_path, "av1")
    video = stored(path, proxy)
    proxy.corrupt(".mp4", forever=True)
    with pytest.raises(IntegrityError, match="initialisation"):
        video[7].numpy()
