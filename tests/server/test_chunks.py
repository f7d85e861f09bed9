"""Chunks are named by sixteen hex digits of their SHA-256, and are what their whole SHA-256 says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import anyio
import numpy as np
import pytest

import dreamlake as dl
from dreamlake.config import connect
from dreamlake.core.kinds import VIDEO
from dreamlake.server.chunks import StoredChunk, store_chunk
from dreamlake.server.lambdas.hls_split import hls_split
from dreamlake.server.sidecar import Asset
from dreamlake.server.storage import LocalStorage, Storage
from tests.clips import Clip, decode_plain

from ._stores import Store

# Its segments are fragments of MP4, behind an initialisation section.
FRAGMENTS = Clip(options={"preset": "veryfast", "g": "15"}, sound="libopus", suffix=".mkv", frames=150)
DATA = b"a chunk" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
SHORT, FULL = f"chunks/{DIGEST[:16]}.ts", f"chunks/{DIGEST}.ts"


async def objects(storage: Storage) -> dict[str, bytes]:
    return {found.key: await storage.read(found.key) async for found in storage.list_objects("chunks/")}


@pytest.mark.parametrize("form", ["bytes", "file"])
async def test_storing_a_chunk(store: Store, form: str, tmp_path: Path) -> None:
    async with store.open() as storage:

        async def stored() -> StoredChunk:
            path = tmp_path / "segment"
            path.write_bytes(DATA)
            found = await store_chunk(storage, DATA if form == "bytes" else path, DIGEST, "ts")
            assert path.exists() is (form == "bytes" or found.reused)  # the file of one that is there may be needed yet
            return found

        assert await stored() == StoredChunk(SHORT, reused=False)
        assert await stored() == StoredChunk(SHORT, reused=True)
        assert await objects(storage) == {SHORT: DATA}

        other = b"something else" * 500  # as long as the chunk, as an attacker would make it
        assert len(other) == len(DATA)
        await storage.write(SHORT, other)
        assert await stored() == StoredChunk(FULL, reused=False)
        assert await stored() == StoredChunk(FULL, reused=True)
        assert await objects(storage) == {SHORT: other, FULL: DATA}

        await storage.write(FULL, DATA[:-1])  # nothing else can have this name: it is the chunk, and damaged
        assert await stored() == StoredChunk(FULL, reused=False)
        assert await objects(storage) == {SHORT: other, FULL: DATA}


def test_a_planted_object_is_neither_used_nor_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows a video may plant other bytes under the short names of its chunks before it is uploaded."""
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "home"))
    clip = FRAGMENTS.make(tmp_path / "clip.mkv")
    expected = decode_plain(clip)
    try:
        connect(data=tmp_path / "one")
        assert np.array_equal(dl.upload(clip, progress=False).numpy(), expected)
        honest = anyio.run(objects, LocalStorage(tmp_path / "one"))
        assert [Path(key).suffix for key in honest].count(
            ".mp4"
        ) == 2  # the initialisation sections of the pictures and of the sound
        assert len(honest) > 2

        async def plant(storage: LocalStorage) -> None:
            for key in honest:
                await storage.write(key, b"planted")

        lake = LocalStorage(tmp_path / "two")
        anyio.run(plant, lake)
        connect(data=tmp_path / "two")
        video = dl.upload(clip, progress=False)
        assert np.array_equal(video.numpy(), expected)
        found = anyio.run(objects, lake)
        assert {key: found.pop(key) for key in honest} == dict.fromkeys(honest, b"planted")
        assert {key.removeprefix("chunks/").split(".")[0] for key in found} == {
            hashlib.sha256(data).hexdigest() for data in honest.values()
        }
        again = dl.upload(clip, path="/again", progress=False)
        assert np.array_equal(again[::10].numpy(), expected[::10])
    finally:
        connect()
        dl.close()


class Sweeping(LocalStorage):
    """A folder in which what is found to be there already goes a moment later, as if another lake cleared it up."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.swept: list[str] = []

    async def touch(self, key: str) -> bool:
        there = await super().touch(key)
        await self.delete(key)
        self.swept.append(key)
        return there


async def test_a_chunk_that_is_swept_while_it_is_reused_is_stored_again(
    made: Callable[[str], Path], tmp_path: Path
) -> None:
    data = made("seed").read_bytes()
    digest = hashlib.sha256(data).hexdigest()

    async def process(storage: LocalStorage, number: int) -> None:
        asset = Asset(f"{number:024x}", VIDEO.name, "alice", "p", "/a.mp4", digest[:16], digest, len(data), 0.0)
        await storage.write(asset.staging, data)
        reported: list[float] = []
        await hls_split(storage, asset, reported.append)
        assert reported == sorted(reported)
        assert reported[-1] == 1.0

    await process(LocalStorage(tmp_path), 1)
    chunks = await objects(LocalStorage(tmp_path))
    sweeping = Sweeping(tmp_path)
    await process(sweeping, 2)
    assert sorted(sweeping.swept) == sorted(chunks)
    assert len(chunks) > 1
    assert await objects(sweeping) == chunks
    assert list(sweeping.scratch.iterdir()) == []


async def test_a_chunk_that_cannot_be_stored_ends_the_job(made: Callable[[str], Path], tmp_path: Path) -> None:
    """The error is the storage's own, and nothing says that the video is ready."""

    class Full(LocalStorage):
        async def write_file(self, key: str, path: Path, sha256: str | None = None) -> None:
            raise OSError(28, "No space left on device")

    storage = Full(tmp_path)
    data = made("seed").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    asset = Asset("0" * 24, VIDEO.name, "alice", "p", "/a.mp4", digest[:16], digest, len(data), 0.0)
    await storage.write(asset.staging, data)
    with pytest.raises(OSError, match="No space left"):
        await hls_split(storage, asset, lambda done: None)
    assert [found.key async for found in storage.list_objects("")] == [asset.staging]
    assert list(storage.scratch.iterdir()) == []
