"""Downloading: the bytes that were uploaded, whole or not at all, and not twice."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

import dreamlake.aio as adl
from dreamlake.errors import (
    InvalidIdError,
    InvalidTargetError,
    LakeUnreachableError,
    NotFoundError,
    SourceError,
    UsageError,
)
from tests.clips import real_clip
from tests.proxy import Proxy

CARPHONE = real_clip("carphone_distorted.mp4")


def parts_in(folder: Path) -> list[Path]:
    """What is left of downloads that did not end."""
    return list(folder.glob(".*"))


def part_of(folder: Path) -> Path:
    [part] = parts_in(folder)
    return part


async def test_by_id_by_uri_by_target_and_by_hand(lake: str, tmp_path: Path) -> None:
    video = await adl.upload(CARPHONE, space="robotics@dora", path="/camera/front", progress=False)
    found = [
        await adl.download(video.id, tmp_path, progress=False),
        await adl.download(video.uri, tmp_path / "uri.mp4", progress=False),
        await adl.download("dora@robotics//camera/front/carphone_distorted.mp4", tmp_path / "new" / "", progress=False),
        await video[0.5:1.0].download(tmp_path / "clip.mp4", progress=False),
    ]
    assert found[0] == tmp_path / "carphone_distorted.mp4"
    assert {path.read_bytes() == CARPHONE.read_bytes() for path in found} == {True}
    assert not parts_in(tmp_path)


async def test_an_asset_of_another_kind(fresh_lake: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"ts": 0.0, "dt": 1.0}) + "\n")
    asset = await adl.upload(source, progress=False)
    assert (asset.kind, asset.id[:3]) == ("label-track", "lt-")
    copy = await asset.download(tmp_path / "copy.jsonl", progress=False)
    assert copy.read_bytes() == source.read_bytes()


async def test_an_empty_file(fresh_lake: Path, tmp_path: Path) -> None:
    (tmp_path / "none.srt").touch()
    asset = await adl.upload(tmp_path / "none.srt", progress=False)
    assert (await asset.download(tmp_path / "out.srt", progress=False)).read_bytes() == b""


async def test_it_goes_on_where_it_ended(served: str, tmp_path: Path) -> None:
    with Proxy(served) as proxy:
        adl.connect(proxy.url)
        try:
            video = await adl.upload(CARPHONE, space="resume@dora", progress=False)
            whole = CARPHONE.read_bytes()
            target = tmp_path / "out.mp4"
            with pytest.raises(KeyboardInterrupt):
                await adl.download(video.id, target, progress=_interrupt)
            assert not target.exists()
            kept = len(whole) - 1000
            part_of(tmp_path).write_bytes(whole[:kept])
            proxy.reset()
            assert (await adl.download(video.id, target, progress=False)).read_bytes() == whole
            assert proxy.received < 20_000  # the rest, and what is known of it
            assert not parts_in(tmp_path)
        finally:
            adl.connect()


def _interrupt(event: adl.UploadEvent) -> None:
    if event.done:
        raise KeyboardInterrupt


async def test_a_part_that_is_damaged_is_fetched_again(lake: str, tmp_path: Path) -> None:
    video = await adl.upload(CARPHONE, space="damage@dora", progress=False)
    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        await adl.download(video.id, target, progress=_interrupt)
    part = part_of(tmp_path)
    for damage in (b"x" * 1000, CARPHONE.read_bytes() + b"more"):
        part.write_bytes(damage)
        assert (await adl.download(video.id, target, progress=False)).read_bytes() == CARPHONE.read_bytes()
        target.unlink()


async def test_a_file_that_is_there_is_not_fetched(served: str, tmp_path: Path) -> None:
    with Proxy(served) as proxy:
        adl.connect(proxy.url)
        try:
            video = await adl.upload(CARPHONE, space="there@dora", progress=False)
            target = tmp_path / "out.mp4"
            target.write_bytes(CARPHONE.read_bytes())
            await adl.download(video.id, target, progress=False)
            assert proxy.count("/raw") == 0
            target.write_bytes(CARPHONE.read_bytes()[:-1] + b"?")
            await adl.download(video.id, target, progress=False)
            assert target.read_bytes() == CARPHONE.read_bytes()
        finally:
            adl.connect()


async def test_another_process_at_it(lake: str, tmp_path: Path) -> None:
    video = await adl.upload(CARPHONE, space="other@dora", progress=False)
    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        await adl.download(video.id, target, progress=_interrupt)
    with part_of(tmp_path).open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another process"):
            await adl.download(video.id, target, progress=False)
    assert (await adl.download(video.id, target, progress=False)).read_bytes() == CARPHONE.read_bytes()


async def test_a_place_that_cannot_be_written(lake: str, tmp_path: Path) -> None:
    video = await adl.upload(CARPHONE, space="place@dora", progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="cannot be written"):
        await adl.download(video.id, tmp_path / "file" / "out.mp4", progress=False)


async def test_what_names_no_asset(lake: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        await adl.download(os.fspath(CARPHONE), tmp_path)
    with pytest.raises(InvalidTargetError):
        await adl.download("a b//c.mp4", tmp_path)
    with pytest.raises(InvalidIdError):
        await adl.download("v-typo", tmp_path)
    with pytest.raises(NotFoundError):
        await adl.download("v-0000000000000001", tmp_path)
    with pytest.raises(NotFoundError):
        await adl.download("dora@robotics//no/such.mp4", tmp_path)
    with pytest.raises(UsageError, match="outside of any lake"):
        await (await adl.load_video(CARPHONE)).download(tmp_path)


async def test_a_lake_that_is_gone(tmp_path: Path, unused_port: int) -> None:
    adl.connect(f"http://127.0.0.1:{unused_port}")
    try:
        with pytest.raises(LakeUnreachableError):
            await adl.download("v-0000000000000001", tmp_path)
    finally:
        adl.connect()
