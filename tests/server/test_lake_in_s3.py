"""Lakes whose bytes are in S3: uploaded, processed and read through the SDK, the bytes straight from the store."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest

import dreamlake as dl
from dreamlake.config import connect, current_lake, lake_at
from dreamlake.errors import ConfigError, UsageError
from tests.clips import Clip, decode_plain
from tests.conftest import serving
from tests.proxy import Proxy
from tests.s3server import BUCKET

from ._stores import Store, Stores, make_store

# Its segments are fragments of MP4, behind an initialisation section.
FRAGMENTS = Clip(options={"preset": "veryfast", "g": "30"}, sound="libopus", suffix=".mkv", frames=150)


@pytest.fixture(params=["rclone", "juicefs"])
def store(
    request: pytest.FixtureRequest, stores: Stores, unused_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Store:
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "home"))
    return make_store(request.param, stores, unused_port, tmp_path, monkeypatch)


@dataclass
class LakeInS3:
    """A lake in use, what stands in front of its store, and what stands in front of it if it is served."""

    store: Store
    s3: Proxy
    lake: Proxy | None

    def fetched(self) -> list[str]:
        """The chunks that were asked for at the store, with the whole request line."""
        return self.s3.requests_of(f"GET /{BUCKET}/{self.store.prefix}/chunks/")

    def objects(self, prefix: str) -> dict[str, int]:
        """The objects of the lake, and their sizes."""

        async def listed() -> dict[str, int]:
            async with self.store.open() as storage:
                return {found.key: found.size async for found in storage.list_objects(prefix)}

        return anyio.run(listed)


@pytest.fixture(params=["embedded", "served"])
def lake(request: pytest.FixtureRequest, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[LakeInS3]:
    """The lake that the variable DREAMLAKE_STORAGE says: in this process, or one that is served."""
    assert store.server is not None
    with Proxy(store.server.url) as s3:
        monkeypatch.setenv("DREAMLAKE_STORAGE", store.server.location(store.prefix, s3.url))
        if request.param == "embedded":
            connect()
            yield LakeInS3(store, s3, None)
        else:
            with serving(store.scratch.parent / "lake") as url, Proxy(url) as front:
                connect(front.url)
                yield LakeInS3(store, s3, front)
        connect()
        dl.close()


def named(requests: list[str]) -> set[str]:
    """The chunks that were asked for."""
    return set(re.findall(r"chunks/[0-9a-f]+\.[a-z0-9]+", " ".join(requests)))


def test_every_frame_comes_from_the_store(lake: LakeInS3, made: Callable[[str], Path], tmp_path: Path) -> None:
    clip = made("seed") if lake.store.name == "rclone" else FRAGMENTS.make(tmp_path / "fragments.mkv")
    video = dl.upload(clip, path="/camera", progress=False)
    chunks = lake.objects("chunks/")
    lake.s3.reset()
    if lake.lake is not None:
        lake.lake.reset()
    assert np.array_equal(video.numpy(), decode_plain(clip))

    fetched = lake.fetched()
    pictures = named(fetched)
    assert len(fetched) == len(pictures) > 1
    sound = chunks.keys() - pictures
    assert bool(sound) == bool(clip.suffix == ".mkv")
    assert all("X-Amz-Signature=" in line for line in fetched)  # by URLs that anybody could use, not by the lake
    if lake.lake is not None:
        assert lake.lake.count("GET /chunks/") == len(fetched)
        assert lake.lake.received < sum(chunks[key] for key in pictures) <= lake.s3.received
        namespace = httpx.get(f"{lake.lake.url}/auth/me").json()["namespace"]
        page = {"owner": namespace, "project": "default"}
        with httpx.Client(base_url=lake.lake.url) as client:
            [item] = client.get("/videos", params=page).raise_for_status().json()["items"]
            answer = client.get(f"/videos/{item['id']}/raw")
            assert (answer.status_code, answer.content) == (307, b"")
            assert re.fullmatch(r"private, max-age=\d+", answer.headers["cache-control"])
            assert client.get(answer.headers["location"]).content == clip.read_bytes()
            head = client.head(f"/videos/{item['id']}/raw").raise_for_status()
            assert head.headers["content-length"] == str(clip.stat().st_size)

    again = dl.upload(clip, path="/another", progress=False)  # which finds all chunks there
    assert np.array_equal(again[::5].numpy(), decode_plain(clip)[::5])
    assert lake.objects("chunks/") == chunks
    assert lake.objects(".probe") == {}
    if lake.lake is None:
        assert list((tmp_path / "home/lake/scratch").iterdir()) == []


def test_which_storage_an_embedded_lake_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path))
    connect()
    assert current_lake().storage is None
    (tmp_path / "config.toml").write_text('storage = "s3://from-file/p"\n')
    assert current_lake().storage == "s3://from-file/p"
    monkeypatch.setenv("DREAMLAKE_STORAGE", "s3://from-environment/p")
    assert current_lake().storage == lake_at("").storage == "s3://from-environment/p"
    assert str(current_lake()) == f"the embedded lake in {tmp_path}/lake over s3://from-environment/p"
    try:
        assert connect(storage="s3://said/p") == current_lake()
        assert (current_lake().storage, current_lake().data) == ("s3://said/p", tmp_path / "lake")
        assert connect(data=tmp_path / "other").storage is None  # a folder that is named has its own bytes
        assert connect(data=tmp_path / "other", storage="s3://said/q").storage == "s3://said/q"
        assert connect("http://localhost:1").storage is None
        with pytest.raises(UsageError, match="not both"):
            connect("http://localhost:1", storage="s3://said/p")
    finally:
        connect()


@pytest.mark.parametrize("store", ["juicefs"], indirect=True)
def test_a_pickled_video_knows_its_storage(store: Store, made: Callable[[str], Path], tmp_path: Path) -> None:
    connect(data=tmp_path / "lake", storage=store.location)
    try:
        video = dl.upload(made("seed"), progress=False)
        packed, expected = pickle.dumps(video[3]), video[3].numpy()
        connect()
        dl.close()
        del video
        assert np.array_equal(pickle.loads(packed).numpy(), expected)
    finally:
        connect()
        dl.close()


@pytest.mark.parametrize("store", ["rclone"], indirect=True)
def test_an_embedded_lake_that_cannot_be_opened(store: Store, tmp_path: Path) -> None:
    connect(data=tmp_path / "lake", storage=store.location.replace(BUCKET, "nobodys-bucket"))
    try:
        with pytest.raises(ConfigError, match=r"the embedded lake in .* cannot be opened: .* there is no such bucket"):
            dl.load_video("v-0000000000000001")
    finally:
        connect()
