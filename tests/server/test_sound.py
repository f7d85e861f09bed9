"""Sound as a server gives it: playlists that players play, chunks that collecting keeps, and indexes."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import pytest

import dreamlake as dl
from dreamlake.config import connect
from dreamlake.core.ids import parse_resource_id
from dreamlake.core.kinds import AUDIO, VIDEO
from dreamlake.core.playlist import parse_playlist
from dreamlake.server.gc import collect
from tests.clips import CLIPS
from tests.sounds import SOUNDS, plain_sound

from ._garbage import forget, grow_old, nothing, objects, read_back
from ._lake import Client, on_sqlite

PLAYED = ["wav-16bit", "wav-24bit-5.1-96k", "wav-32bit", "wav-float", "mp3", "aac-adts", "aac-m4a", "opus", "vorbis"]


def heard(url: str) -> tuple[np.ndarray[Any, Any], int]:
    """What a player decodes of a playlist, and from which packets."""
    with av.open(url) as container:
        pieces = []
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()
            channels = frame.layout.nb_channels
            pieces.append(samples.reshape(-1, channels) if frame.format.is_packed else samples.T)
        return np.concatenate(pieces), container.streams.audio[0].codec_context.sample_rate


@pytest.mark.parametrize("name", PLAYED)
def test_a_player_hears_it_without_a_gap(served: str, tmp_path: Path, name: str) -> None:
    path = SOUNDS[name].make(tmp_path / f"{name}{SOUNDS[name].suffix}")
    connect(served)
    try:
        audio = dl.upload(path, prefix="/heard", kind="audio", progress=False)
        identity = parse_resource_id(audio.id).object_id
        meta = httpx.get(f"{served}/audio/{identity}").raise_for_status().json()
        url = f"{served}/audio/{identity}/stream/{meta['streams'][0]}.m3u8"
        played, rate = heard(url)
    finally:
        connect()
    plain = plain_sound(path)
    assert rate == SOUNDS[name].rate
    # All of the sound in one piece; before it is what encoders put there, which HLS has no way to leave out.
    extra = len(played) - len(plain)
    assert 0 <= extra <= 3000
    found = next(by for by in range(extra + 1) if np.array_equal(played[by : by + 4000], plain[:4000]) or by == extra)
    first = 3 * rate
    assert np.array_equal(played[found : found + first], plain[:first])
    if name != "opus":  # whose decoder players start anew with a new segment's first packet at the latest
        assert np.array_equal(played[found : found + len(plain)], plain)
    playlist = parse_playlist(httpx.get(url).text)
    assert sum(playlist.durations) == pytest.approx(len(played) / rate, abs=0.05)
    assert {urlsplit(uri).path.rsplit(".", 1)[-1] for uri in playlist.uris} == {"m4s"}


def test_a_player_hears_the_sound_of_a_video_by_itself(served: str, tmp_path: Path) -> None:
    path = CLIPS["h264-sound"].make(tmp_path / "a.mp4")
    connect(served)
    try:
        video = dl.upload(path, prefix="/heard", progress=False)
        identity = parse_resource_id(video.id).object_id
        meta = httpx.get(f"{served}/videos/{identity}").raise_for_status().json()
        played, rate = heard(f"{served}/videos/{identity}/stream/{meta['streams'][1]}.m3u8")
        assert rate == video.audio.sample_rate
        assert abs(len(played) - len(plain_sound(path))) < 3000
    finally:
        connect()


@pytest.fixture
def files(tmp_path: Path) -> dict[Any, bytes]:
    return {
        AUDIO: SOUNDS["wav-16bit"].make(tmp_path / "a.wav").read_bytes(),
        VIDEO: CLIPS["h264-sound"].make(tmp_path / "a.mp4").read_bytes(),
    }


@on_sqlite
@pytest.mark.parametrize("kind", [AUDIO, VIDEO], ids=lambda kind: kind.name)
async def test_collecting_keeps_what_is_heard(lake_client: Client, files: dict[Any, bytes], kind: Any) -> None:
    suffix = ".wav" if kind == AUDIO else ".mp4"
    asset = (await lake_client.ready(f"/a{suffix}", files[kind], kind))["id"]
    kept = await objects(lake_client.lake.storage)
    other = SOUNDS["mp3"].make(lake_client.data.parent / "other.mp3").read_bytes()
    gone = (await lake_client.ready("/b.mp3", other, AUDIO))["id"]
    await forget(lake_client, gone, AUDIO)
    assert not [key for key in await objects(lake_client.lake.storage) if gone in key]  # its index went with it
    await grow_old(lake_client)
    report = await collect(lake_client.lake)
    assert report.chunks.count >= 3
    assert not report.problems
    assert await objects(lake_client.lake.storage) == kept
    await read_back(lake_client, asset, files[kind], kind)
    assert nothing(await collect(lake_client.lake))
