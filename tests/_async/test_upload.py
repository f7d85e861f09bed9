"""Uploading: names and places, what comes back, and that nothing bad is ever registered."""

from __future__ import annotations

import getpass
import json
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

import dreamlake.aio as adl
from dreamlake._async._runtime import gather
from dreamlake._async.lake import AsyncLake
from dreamlake.config import current_lake, home
from dreamlake.core.targets import slugify
from dreamlake.errors import (
    DreamlakeError,
    FileChangedError,
    InvalidTargetError,
    MediaError,
    SourceError,
    SourceNotFoundError,
    UnsupportedTypeError,
)
from tests.clips import Clip, decode_plain, real_clip

CARPHONE = real_clip("carphone_distorted.mp4")
QUICK = Clip(options={"preset": "veryfast", "g": "10"}, frames=30)


async def place_of(video: adl.AsyncVideo) -> tuple[str, str, str]:
    meta = await AsyncLake(current_lake()).video(video.uri.rsplit("/", 1)[-1])
    return meta.owner, meta.project, meta.name


async def test_the_prefix_names_a_folder(lake: str) -> None:
    video = await adl.upload(CARPHONE, space="robotics@alice", prefix="/2026/04/run-042/camera/front", progress=False)
    assert await place_of(video) == ("alice", "robotics", "/2026/04/run-042/camera/front/carphone_distorted.mp4")


async def test_nothing_named(lake: str) -> None:
    video = await adl.upload(CARPHONE, progress=False)
    assert await place_of(video) == (slugify(getpass.getuser()), "default", "/carphone_distorted.mp4")


async def test_prefix_contexts(lake: str) -> None:
    with adl.Prefix(space="robotics@alice", prefix="/2026/04"), adl.Prefix(prefix="run-042"):
        inside = await adl.upload(CARPHONE, path="camera/front", progress=False)
        absolute = await adl.upload(CARPHONE, path="/shared/ref.mp4", progress=False)
    assert await place_of(inside) == ("alice", "robotics", "/2026/04/run-042/camera/front/carphone_distorted.mp4")
    assert await place_of(absolute) == ("alice", "robotics", "/shared/ref.mp4")


async def test_episode(lake: str) -> None:
    video = await adl.upload(CARPHONE, episode="alice@robotics:run-042", path="/camera/front", progress=False)
    assert await place_of(video) == ("alice", "robotics", "/camera/front/carphone_distorted.mp4")


async def test_the_same_again_is_the_same_video(lake: str) -> None:
    first = await adl.upload(CARPHONE, prefix="/again", progress=False)
    again = await adl.upload(CARPHONE, prefix="/again", progress=False)
    elsewhere = await adl.upload(CARPHONE, prefix="/elsewhere", progress=False)
    assert first == again
    assert first.id != elsewhere.id


async def test_other_bytes_under_the_same_name_are_another_video(fresh_lake: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.mp4"
    first = await adl.upload(QUICK.make(path), progress=False)
    second = await adl.upload(Clip(options={"preset": "veryfast"}, frames=12).make(path), progress=False)
    assert first.id != second.id
    assert (first.frames, second.frames) == (30, 12)


async def test_without_waiting(fresh_lake: Path, tmp_path: Path) -> None:
    path = QUICK.make(tmp_path / "run.mp4")
    video = await adl.upload(path, wait=False, progress=False)
    assert video.id is not None
    assert "not loaded" in repr(video)
    assert np.array_equal(await video.numpy(), decode_plain(path))
    assert video.frames == 30


async def test_events(fresh_lake: Path, tmp_path: Path) -> None:
    path = QUICK.make(tmp_path / "run.mp4")
    events: list[adl.UploadEvent] = []
    await adl.upload(path, progress=events.append)
    stages = [event.stage for event in events]
    assert sorted(set(stages), key=stages.index) == ["hash", "upload", "process"]
    for stage in ("hash", "upload", "process"):
        done = [event.done for event in events if event.stage == stage]
        assert done == sorted(done)
        assert done[-1] == [event.total for event in events if event.stage == stage][-1]


async def test_several_parts(fresh_lake: Path, tmp_path: Path) -> None:
    noise = Clip(options={"preset": "ultrafast", "qp": "0", "g": "10"}, frames=60, size=(640, 480)).make(
        tmp_path / "a.mp4"
    )
    path = tmp_path / "large.mp4"
    padding = 25 * 1024**2  # a free box makes three parts of it, and changes no frame
    path.write_bytes(noise.read_bytes() + (padding + 8).to_bytes(4, "big") + b"free" + bytes(padding))
    video = await adl.upload(path, progress=False)
    assert np.array_equal(await video.numpy(), decode_plain(path))
    assert not list((home() / "uploads").glob("*.json"))


def _truncated(path: Path) -> None:
    QUICK.make(path)
    path.write_bytes(path.read_bytes()[:-2000])


def _truncated_with_its_index_in_front(path: Path) -> None:
    whole = QUICK.make(path.with_name("whole.mp4"))
    with av.open(str(whole)) as source, av.open(str(path), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    path.write_bytes(path.read_bytes()[:-2000])


def _sound_only(path: Path) -> None:
    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


BAD = {
    "missing.mp4": (SourceNotFoundError, lambda path: None),
    "folder.mp4": (SourceError, lambda path: path.mkdir()),
    "empty.mp4": (MediaError, lambda path: path.touch()),
    "text.mp4": (MediaError, lambda path: path.write_text("this is not a video\n" * 100)),
    "truncated.mp4": (MediaError, _truncated),
    "faststart.mp4": (MediaError, _truncated_with_its_index_in_front),
    "sound.mp4": (MediaError, _sound_only),
    "notes.xyz": (UnsupportedTypeError, lambda path: path.write_bytes(b"x")),
    "plain": (UnsupportedTypeError, lambda path: path.write_bytes(b"x")),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_files_are_refused_and_leave_nothing_behind(fresh_lake: Path, tmp_path: Path, name: str) -> None:
    expected, make = BAD[name]
    path = tmp_path / name
    make(path)
    with pytest.raises(expected) as raised:
        await adl.upload(path, progress=False)
    assert isinstance(raised.value, DreamlakeError)
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (fresh_lake / "objects").exists() or not any((fresh_lake / "objects").rglob("*.json"))
    assert not list((home() / "uploads").glob("*.json"))


@pytest.mark.parametrize(
    "place", [{"space": "a b"}, {"space": "a@"}, {"path": "../up"}, {"episode": "a@b"}, {"path": "x\\y"}]
)
async def test_bad_places_are_refused_before_anything_is_sent(fresh_lake: Path, place: dict[str, str]) -> None:
    with pytest.raises(InvalidTargetError):
        await adl.upload(CARPHONE, progress=False, **place)
    assert not (fresh_lake / "objects").exists() or not any((fresh_lake / "objects").rglob("staging/*"))


async def test_a_file_that_changes_while_it_is_sent_is_not_registered(fresh_lake: Path, tmp_path: Path) -> None:
    path = QUICK.make(tmp_path / "run.mp4")

    def tamper(event: adl.UploadEvent) -> None:
        if event.stage == "upload" and event.done == 0:
            path.write_bytes(path.read_bytes()[::-1])

    with pytest.raises(FileChangedError):
        await adl.upload(path, progress=tamper)
    assert not any((fresh_lake / "objects").rglob("meta.json"))


async def test_the_journal_is_the_seed_s(fresh_lake: Path, tmp_path: Path) -> None:
    path = QUICK.make(tmp_path / "run.mp4")
    seen: list[dict[str, object]] = []

    def look(event: adl.UploadEvent) -> None:
        if event.stage == "upload":
            seen.extend(json.loads(file.read_bytes()) for file in (home() / "uploads").glob("*.json"))

    await adl.upload(path, progress=look)
    assert {"uploadId", "key", "totalParts", "completedParts"} <= set(seen[0])
    assert seen[0]["totalParts"] == 1
    assert seen[-1]["completedParts"][0]["partNumber"] == 1


async def test_one_file_sent_by_many_at_once(fresh_lake: Path, tmp_path: Path) -> None:
    path = QUICK.make(tmp_path / "run.mp4")
    with path.open("ab") as file:
        file.write((12 * 1024**2 + 8).to_bytes(4, "big") + b"free" + bytes(12 * 1024**2))

    async def send(number: int) -> adl.AsyncVideo:
        return await adl.upload(path, prefix=f"/{number % 2}", space=f"space-{number % 2}", progress=False)

    videos = await gather(*(partial(send, number) for number in range(6)))
    assert len({video.id for video in videos}) == 2
    assert np.array_equal(await videos[0].numpy(), decode_plain(path))
    assert not list((home() / "uploads").glob("*.json"))
