"""No frame is decoded twice that is wanted once: the packets that decoders are fed are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamlake as dl
from dreamlake.media.decoder import Decoder
from tests.clips import CLIPS, decode_plain

Fed = Callable[[Callable[[], object]], int]


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Fed:
    """How many packets go into decoders while something is done."""
    feed, count = Decoder.feed, [0]

    def counting(self: Decoder, packet: Any) -> Any:
        count[0] += packet is not None
        return feed(self, packet)

    monkeypatch.setattr(Decoder, "feed", counting)

    def measure(do: Callable[[], object]) -> int:
        count[0] = 0
        do()
        return count[0]

    return measure


@pytest.fixture(scope="module", params=["h264", "h264-open-gop", "h264-pyramid", "vp9", "av1"])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = CLIPS[request.param]
    return made.make(tmp_path_factory.mktemp("once") / f"{request.param}{made.suffix}")


def test_what_is_read_as_a_whole_is_decoded_once(clip: Path, fed: Fed) -> None:
    video = dl.load_video(clip)
    # The end of an open GOP needs the key frame after it, which is decoded with the next one again.
    most = len(video) + len(video.keyframes) - 1
    assert len(video) <= fed(video.numpy) <= most
    assert fed(video[::-1].numpy) <= most
    assert len(video) <= fed(lambda: list(video.iterator())) <= most
    assert fed(lambda: list(video.iterator(7))) <= most
    assert fed(lambda: list(video[::-1].iterator(7))) <= most  # a small clip is one piece
    assert fed(lambda: list(video[0.0 : video.et : 0.01].iterator())) <= most  # each frame several times
    several = video.chunk(0.2)[:-1, [0, 0, 2, 1, 0]] + video[::3] + video
    assert fed(lambda: several.numpy(pad="last", size=(8, 8))) <= most
    assert fed(lambda: video[[5] * 20].numpy()) <= 6 + 8  # up to the frame itself, and what pushes it out


def test_a_walk_goes_on_where_it_was(clip: Path, fed: Fed) -> None:
    video, expected = dl.load_video(clip), decode_plain(clip)
    shown: list[Any] = []
    most = 1.2 * len(video)
    assert fed(lambda: shown.extend(frame.numpy() for frame in video)) <= most
    assert np.array_equal(shown, expected)
    assert fed(lambda: [frame.numpy() for frame in video[::3]]) <= most
    assert fed(lambda: [chunk.numpy() for chunk in video.chunk(0.2)]) <= most
