"""What players get: standard HLS over TCP, and chunks that are standard by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import pytest

import dreamlake as dl
from dreamlake.config import connect
from dreamlake.core.ids import parse_resource_id
from dreamlake.core.playlist import Playlist, parse_playlist
from tests.clips import CLIPS, plain_times, real_clip

NAMES = ["h264-sound", "av1", "h264-open-gop", "h264-opus", "bikes.mp4"]


@pytest.fixture(scope="module", params=NAMES)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name: str = request.param
    if name not in CLIPS:
        return real_clip(name)
    return CLIPS[name].make(tmp_path_factory.mktemp("clips") / f"{name}{CLIPS[name].suffix}")


@pytest.fixture(scope="module")
def stream(served: str, clip: Path) -> Iterator[str]:
    """The URL of the clip's playlist on a server."""
    connect(served)
    try:
        video = dl.upload(clip, prefix="/playback", progress=False)
        assert video.frames  # waits for the processing
        identity = parse_resource_id(video.id).object_id
        meta = httpx.get(f"{served}/videos/{identity}").raise_for_status().json()
        yield f"{served}/videos/{identity}/stream/{meta['streams'][0]}.m3u8"
    finally:
        connect()


@pytest.fixture(scope="module")
def playlist(stream: str) -> Playlist:
    return parse_playlist(httpx.get(stream).raise_for_status().text)


def test_a_player_shows_every_frame(stream: str, clip: Path) -> None:
    expected = plain_times(clip)
    with av.open(stream) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert len(times) == len(expected)
    assert np.all(np.diff(times) > 0)
    assert np.allclose(np.array(times) - times[0], expected, atol=1e-4)


def test_a_player_hears_the_sound(stream: str, clip: Path) -> None:
    with av.open(str(clip)) as original:
        if not original.streams.audio:
            pytest.skip("a clip without sound")
        expected = sum(packet.size for packet in original.demux(audio=0))
    with av.open(stream) as container:
        sizes, times = [], []
        for packet in container.demux(audio=0):
            if packet.size:
                sizes.append(packet.size)
                times.append(float(packet.pts * packet.time_base))
    assert np.all(np.diff(times) > 0)
    # A transport stream frames AAC anew (ADTS): 7 bytes a packet.
    assert sum(sizes) in (expected, expected + 7 * len(sizes))


def test_a_player_seeks(stream: str, clip: Path) -> None:
    expected = plain_times(clip)
    middle = expected[len(expected) * 2 // 3]
    with av.open(stream) as container:
        begin = float(next(container.decode(video=0)).time)
        container.seek(int((begin + middle) * av.time_base))
        shown = [float(frame.time) - begin for frame in container.decode(video=0)]
    assert shown[0] <= middle + 1e-4
    assert np.allclose(shown[-1], expected[-1], atol=1e-4)


def test_the_playlist_is_a_standard_one(stream: str, clip: Path) -> None:
    answer = httpx.get(stream)
    lines = answer.text.splitlines()
    assert lines[0] == "#EXTM3U"
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in lines
    assert lines[-1] == "#EXT-X-ENDLIST"
    playlist = parse_playlist(answer.text)
    [target] = [int(line.split(":")[1]) for line in lines if line.startswith("#EXT-X-TARGETDURATION:")]
    assert max(playlist.durations) <= target + 0.5  # RFC 8216, 4.3.3.1
    with av.open(str(clip)) as original:
        frames = list(original.decode(video=0))
    length = float((frames[-1].pts - frames[0].pts) * frames[0].time_base)
    assert length < sum(playlist.durations) < length + 0.5
    kinds = {urlsplit(uri).path.rsplit(".", 1)[-1] for uri in playlist.uris}
    assert kinds == ({"m4s"} if playlist.init else {"ts"})


def test_every_chunk_is_standard_by_itself(playlist: Playlist, clip: Path) -> None:
    init = httpx.get(playlist.init).content if playlist.init else b""
    shown = 0
    for number, uri in enumerate(playlist.uris):
        data = init + httpx.get(uri).raise_for_status().content
        with av.open(BytesIO(data)) as container:
            assert set(container.format.name.split(",")) & ({"mp4"} if init else {"mpegts"})
            packets = [packet for packet in container.demux(video=0) if packet.size]
        assert packets[0].is_keyframe, number
        with av.open(BytesIO(data)) as container:
            frames = sum(1 for _ in container.decode(video=0))
        # An open GOP's first pictures need the segment before, and only those may be missing.
        assert frames == len(packets) or (not playlist.independent and number > 0), number
        shown += len(packets)
    assert shown == len(plain_times(clip))
