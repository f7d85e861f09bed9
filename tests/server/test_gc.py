"""Collecting: what nothing refers to goes after a day, and nothing else ever does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

from dreamlake.core.kinds import IMAGE
from dreamlake.core.wireupkeep import GcReport
from dreamlake.server.gc import collect
from dreamlake.server.lambdas.hls_split import hls_split
from dreamlake.server.schema import bss_assets, staged, uploads
from dreamlake.server.sidecar import Asset
from dreamlake.server.storage import Listed, LocalStorage, Pending
from tests.recordings import image_bytes

from ._garbage import (
    DAYS,
    begin_announced,
    counts,
    everything,
    forget,
    grow_old,
    nothing,
    objects,
    random_bytes,
    read_back,
    send,
    told,
)
from ._lake import Client, on_sqlite, opened
from ._stores import Store

HEX = "0123456789abcdef"
ROUNDS = 4
STRANGER = f"chunks/{HEX}.ts"


@pytest.fixture
def clip(made: Callable[[str], Path]) -> bytes:
    return made("seed").read_bytes()


@dataclass
class Litter:
    """A lake with one video in use, and garbage of every sort."""

    video: str
    used: dict[str, int]
    expected: dict[str, int]


async def litter(client: Client, clip: bytes) -> Litter:
    storage = client.lake.storage
    video = (await client.ready("/used.mp4", clip))["id"]
    used = await objects(storage)
    # Another video of the same bytes and another one, both deleted.
    for name, data in (("/same.mp4", clip), ("/other.mp4", clip + b"\0\0\0\x08free")):
        await forget(client, (await client.ready(name, data))["id"])
    await storage.write(f"alice/robotics/videos/{'0' * 24}/meta.json", b"{}")  # written after it was deleted
    await storage.write(f"alice/robotics/videos/{video}/stream/{HEX}.m3u8", b"#EXTM3U")  # no stream names it
    await storage.write(STRANGER, b"segment")
    await client.stage(random_bytes())
    await storage.write(f"alice/robotics/staging/{HEX}", b"no row")
    # Uploads: of parts, of a whole file at its place, joined and not moved, and two that no row knows.
    parked, data = await client.begin(b"parked"), random_bytes()
    await send(client, parked, b"parked")
    announced, _ = await begin_announced(client, data)
    await send(client, announced, data)
    await storage.begin_upload(f"uploading/{'1' * 32}")
    await storage.write(f"uploading/{'2' * 32}", b"parked")
    # Not ours to judge.
    kept = {"other/thing": 4, "chunks/readme": 4, "uploading/thing": 4, "alice/robotics/staging/x": 4}
    for key in kept:
        await storage.write(key, b"data")
    (storage.scratch / f"{'3' * 24}-killed").mkdir(parents=True)
    (storage.scratch / f"{'3' * 24}-killed" / "work").write_bytes(bytes(100))
    return Litter(video, used | kept, {"uploads": 4, "staged": 3, "chunks": 1, "leftovers": 2, "temporary": 1})


async def test_nothing_young_goes(lake_client: Client, clip: bytes) -> None:
    found = await litter(lake_client, clip)
    before = await everything(lake_client)
    assert nothing(told(await lake_client.http.post("/gc")))
    assert (await everything(lake_client))[1] == before[1]
    assert (await everything(lake_client))[0].keys() == before[0].keys()
    await read_back(lake_client, found.video, clip)


async def test_garbage_goes_after_a_day(lake_client: Client, clip: bytes) -> None:
    found = await litter(lake_client, clip)
    await grow_old(lake_client)
    before = await everything(lake_client)
    dry = told(await lake_client.http.post("/gc", params={"dryRun": True}))
    assert await everything(lake_client) == before
    assert (dry.dry_run, dry.problems, counts(dry)) == (True, [], found.expected)
    assert (dry.temporary.size, dry.chunks.size, dry.leftovers.size) == (100, len(b"segment"), len(b"{}#EXTM3U"))
    wet = told(await lake_client.http.post("/gc"))
    assert (replace_flag(wet), wet.dry_run) == (replace_flag(dry), False)
    there = await objects(lake_client.lake.storage)
    assert {key: there.get(key) for key in found.used} == found.used
    # What is left of the others is what they share with the one that is in use.
    assert there == found.used
    assert await lake_client.rows(uploads) == []
    assert len(await lake_client.rows(staged)) == 1
    assert [pending async for pending in lake_client.lake.storage.list_uploads()] == []
    assert list(lake_client.lake.storage.scratch.iterdir()) == []
    await read_back(lake_client, found.video, clip)
    assert nothing(told(await lake_client.http.post("/gc")))


def replace_flag(report: GcReport) -> tuple[object, ...]:
    return report.uploads, report.staged, report.chunks, report.leftovers, report.temporary, report.problems


async def test_over_http_nobody_says_how_old(lake_client: Client) -> None:
    await lake_client.stage(random_bytes())
    for name in ("now", "olderThan", "older_than", "before"):
        assert nothing(told(await lake_client.http.post("/gc", params={name: "4000000000"})))
    assert len(await lake_client.rows(staged)) == 1


@on_sqlite
async def test_in_s3(store: Store, lake_data: Path, clip: bytes) -> None:
    """Where no age can be set, it is two days later."""
    async with opened(lake_data, storage=store.location) as client:
        await litter(client, clip)
        video = next(row.id for row in await client.rows(bss_assets))
        assert nothing(await collect(client.lake))
        later = time.time() + DAYS
        dry = await collect(client.lake, dry_run=True, now=later)
        wet = await collect(client.lake, now=later)
        assert replace_flag(wet) == replace_flag(dry)
        assert wet.problems == []
        assert all(counts(wet)[name] for name in ("uploads", "staged", "chunks", "leftovers"))
        assert await client.rows(uploads) == []
        assert len(await client.rows(staged)) == 1
        await read_back(client, video, clip)
        assert nothing(await collect(client.lake, now=later))


async def test_two_lakes_in_one_storage_collect_nothing(tmp_path: Path) -> None:
    shared = str(tmp_path / "shared")
    async with opened(tmp_path / "a", storage=shared) as a, opened(tmp_path / "b", storage=shared) as b:
        await a.stage(random_bytes())
        before = await objects(a.lake.storage)
        for client in (a, b):
            answer = await client.http.post("/gc")
            assert answer.status_code == 409
            assert "other lakes" in answer.json()["detail"]
        assert await objects(a.lake.storage) == before


class Elsewhere(LocalStorage):
    """A folder of a machine whose clock is two days behind."""

    async def list_objects(self, prefix: str) -> AsyncIterator[Listed]:
        async for found in super().list_objects(prefix):
            yield replace(found, modified=found.modified - DAYS)


async def test_a_store_with_another_clock(tmp_path: Path) -> None:
    async with opened(tmp_path / "lake", storage=str(tmp_path / "elsewhere")) as client:
        storage = Elsewhere(tmp_path / "elsewhere")
        await storage.write(STRANGER, b"segment")
        client.app.lake = replace(client.lake, storage=storage)
        answer = await client.http.post("/gc")
        assert answer.status_code == 409
        assert "clock" in answer.json()["detail"]
        assert await storage.read(STRANGER) == b"segment"


class Forbidding(LocalStorage):
    """A folder whose uploads may not be listed, as a store can be told by its policy."""

    def list_uploads(self) -> AsyncIterator[Pending]:
        raise PermissionError(13, "not allowed")


@on_sqlite
async def test_a_store_that_lists_no_uploads(lake_client: Client) -> None:
    await lake_client.lake.storage.write(STRANGER, b"segment")
    await grow_old(lake_client)
    report = await collect(replace(lake_client.lake, storage=Forbidding(lake_client.data)))
    assert counts(report) == {"chunks": 1}
    [problem] = report.problems
    assert "not allowed" in problem


async def test_what_crashes_leave_in_a_folder(tmp_path: Path) -> None:
    """A file beside the one that it was to replace, and an upload that was being deleted."""
    storage = LocalStorage(tmp_path)
    await storage.write("a/b/object", b"data")
    upload = await storage.begin_upload("a/c")
    (tmp_path / "objects" / "a" / "b" / f".object.{HEX}").write_bytes(b"half")
    (tmp_path / "uploads" / ("0" * 32)).mkdir()
    (tmp_path / "uploads" / ("0" * 32) / f"00001.{HEX * 2}").write_bytes(b"part")
    left = {f"objects/a/b/.object.{HEX}": 4, f"uploads/{'0' * 32}": 4}

    async def swept(before: float, *, dry_run: bool = False) -> dict[str, int]:
        return {found.key: found.size async for found in storage.sweep(before, dry_run=dry_run)}

    assert await swept(time.time() - DAYS) == {}
    assert await swept(time.time() + DAYS, dry_run=True) == left
    assert await swept(time.time() + DAYS) == left
    assert await swept(time.time() + DAYS) == {}
    assert await objects(storage) == {"a/b/object": 4}
    assert [pending.upload_id async for pending in storage.list_uploads()] == [upload]


@pytest.mark.parametrize("store", ["rclone"], indirect=True)
async def test_what_crashes_leave_in_a_store(store: Store) -> None:
    async with store.open() as storage:
        await storage.write(".probe/0123456789abcdef", b"right")
        assert [found async for found in storage.sweep(time.time() - DAYS)] == []
        assert [found.size async for found in storage.sweep(time.time() + DAYS, dry_run=True)] == [5]
        assert [found.size async for found in storage.sweep(time.time() + DAYS)] == [5]
        assert await objects(storage) == {}


# -- chunks whose use cannot be known --------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["no playlist", "half a playlist", "no sidecar", "no JSON", "no chunk", "no UTF-8"])
@on_sqlite
async def test_an_asset_that_cannot_be_read_keeps_all_chunks(lake_client: Client, clip: bytes, damage: str) -> None:
    meta = await lake_client.ready("/a.mp4", clip)
    storage = lake_client.lake.storage
    folder = f"alice/robotics/videos/{meta['id']}"
    playlist = f"{folder}/stream/{meta['streams'][0]}.m3u8"
    text = await storage.read(playlist)
    match damage:
        case "no playlist":
            await storage.delete(playlist)
        case "half a playlist":
            await storage.write(playlist, text[: len(text) // 2])
        case "no sidecar":
            await storage.delete(f"{folder}/meta.json")
        case "no JSON":
            await storage.write(f"{folder}/meta.json", b"{")
        case "no chunk":
            await storage.write(playlist, text.replace(b"chunks/", b"elsewhere/", 1))
        case "no UTF-8":
            await storage.write(playlist, b"\xff" + text)
    await storage.write(STRANGER, b"segment")
    await storage.write(f"{folder}/stream/{HEX}.m3u8", text)
    await grow_old(lake_client)
    before = await objects(storage)
    for dry_run in (True, False):
        report = await collect(lake_client.lake, dry_run=dry_run)
        assert counts(report) == {}
        [problem] = report.problems
        assert meta["id"] in problem
    assert await objects(storage) == before


async def test_assets_that_wait_for_their_job_hold_up_nothing(lake_client: Client, clip: bytes) -> None:
    await lake_client.add("/waits.mp4", clip)
    await lake_client.processed("/no-video.mp4", b"no video")
    await lake_client.lake.storage.write(STRANGER, b"segment")
    await grow_old(lake_client)
    assert counts(await collect(lake_client.lake)) == {"chunks": 1}
    assert len(await lake_client.rows(staged)) == 2


# -- at the same moment ----------------------------------------------------------------------------------------------


async def test_a_name_that_is_being_collected(lake_client: Client) -> None:
    """As a crash leaves it: nobody can register it, uploads get another name, and the next run finishes it."""
    data = random_bytes()
    name = await lake_client.stage(data)
    async with lake_client.lake.database.write() as connection:
        await connection.execute(staged.update().values(collecting=True))
    assert (await lake_client.register("/a.mp4", name)).status_code == 404
    upload, _ = await begin_announced(lake_client, data)
    assert upload.key.endswith(sha256(data).hexdigest())
    done = await upload.call("complete", parts=await send(lake_client, upload, data))
    assert done.is_success
    assert counts(await collect(lake_client.lake)) == {"staged": 1}
    asset = (await lake_client.register("/a.mp4", sha256(data).hexdigest())).raise_for_status().json()["id"]
    await read_back(lake_client, asset, data)
    assert list(await objects(lake_client.lake.storage)) == [upload.key]


class Held(LocalStorage):
    """A folder that is asked to delete, and does it when it is let."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun, self.let = asyncio.Event(), asyncio.Event()

    async def delete(self, key: str) -> None:
        self.begun.set()
        await self.let.wait()
        await super().delete(key)


async def test_a_run_that_is_cancelled_leaves_no_deletion_under_way(lake_client: Client) -> None:
    """It would hit what is uploaded under the same name when the next run has given it back."""
    data = random_bytes()
    key = f"alice/robotics/staging/{await lake_client.stage(data)}"
    await grow_old(lake_client)
    storage = Held(lake_client.data)
    run = asyncio.create_task(collect(replace(lake_client.lake, storage=storage)))
    await storage.begun.wait()
    run.cancel()
    assert not (await asyncio.wait([run], timeout=0.1))[0]
    storage.let.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await storage.size(key) is None
    assert counts(await collect(lake_client.lake)) == {"staged": 1}  # what was left to do of it
    assert await lake_client.rows(staged) == []


class Interrupting(LocalStorage):
    """A folder; before or after a file of the pool is read, everything grows old and is collected."""

    client: Client
    when: str

    @asynccontextmanager
    async def local_file(self, key: str) -> AsyncIterator[Path]:
        async with super().local_file(key) as path:
            for moment in ("before", "after"):
                if moment == self.when:
                    await grow_old(self.client)
                    assert counts(await collect(self.client.lake)) == {"staged": 1}
                if moment == "before":
                    yield path


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_is_collected_while_it_is_registered_is_no_asset(lake_client: Client, when: str) -> None:
    name = await lake_client.stage(image_bytes("png"), "images")
    storage = Interrupting(lake_client.data)
    storage.client, storage.when = lake_client, when
    lake_client.app.lake = replace(lake_client.lake, storage=storage)
    assert (await lake_client.register("/a.png", name, IMAGE)).status_code == 404
    assert await lake_client.rows(bss_assets) == []


async def test_an_old_upload_that_somebody_goes_on_with(lake_client: Client) -> None:
    """Whoever comes first: the upload that is gone says so, and the one that is used is not collected."""
    data, late = random_bytes(), random_bytes()
    (kept, more), (gone, _) = await begin_announced(lake_client, data), await begin_announced(lake_client, late)
    parts, lost = await send(lake_client, kept, data), await send(lake_client, gone, late)
    await grow_old(lake_client)
    await kept.url(1, **more)
    assert counts(await collect(lake_client.lake)) == {"uploads": 1}
    assert (await gone.call("complete", parts=lost)).status_code == 404
    assert (await gone.call("parts", partNumbers=[1])).status_code == 404
    assert (await kept.call("complete", parts=parts)).is_success
    await grow_old(lake_client)
    assert (await kept.call("complete", parts=parts)).is_success  # the answer was lost, and it is asked for again
    assert nothing(await collect(lake_client.lake))
    [row] = await lake_client.rows(staged)
    assert await lake_client.lake.storage.read(kept.key) == data
    assert row.sha256 == sha256(data).hexdigest()


@pytest.mark.parametrize("stored", [0, 1, 3, 6])
@on_sqlite
async def test_a_job_that_uses_old_chunks_again(lake_client: Client, clip: bytes, stored: int) -> None:
    """The runs begin when so many of its chunks are stored, and go on until it is done."""
    storage = lake_client.lake.storage
    await forget(lake_client, (await lake_client.ready("/first.mp4", clip))["id"])
    second = await lake_client.add("/second.mp4", clip)
    [row] = await lake_client.rows(bss_assets)
    await grow_old(lake_client)
    chunks = {key for key in await objects(storage) if key.startswith("chunks/")}
    assert len(chunks) == 6
    begun, reported = asyncio.Event(), 0

    def report(_: float) -> None:
        nonlocal reported
        reported += 1
        if reported > stored - 1:
            begun.set()

    async def keep_collecting() -> None:
        if stored:
            await begun.wait()
        while not job.done():
            assert (await collect(lake_client.lake)).problems == []

    job = asyncio.create_task(hls_split(storage, Asset(**row._mapping), report))
    await asyncio.gather(job, keep_collecting())
    assert reported == 6
    await read_back(lake_client, second, clip)
    assert (await lake_client.meta(second))["status"] == "ready"
    assert nothing(await collect(lake_client.lake))


class LikeS3(LocalStorage):
    """A folder that deletes as S3 can: it looks how old an object is, and a moment later deletes it.

    The moment is when a job has touched the object, and, unless it is kept from it, had its last look.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.looked, self.touched, self.seen = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.deleted: list[str] = []

    async def touch(self, key: str) -> bool:
        await self.looked.wait()
        found = await super().touch(key)
        self.touched.set()
        return found

    async def size(self, key: str) -> int | None:
        found = await super().size(key)
        if self.touched.is_set() and key.startswith("chunks/"):
            self.seen.set()
        return found

    async def delete_if_older(self, key: str, before: float) -> bool:
        old = (self._root / "objects" / key).stat().st_mtime < before
        self.looked.set()
        await self.touched.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.seen.wait(), 0.3)  # a look that comes too early
        if old:
            await self.delete(key)
            self.deleted.append(key)
        return old


@on_sqlite
async def test_a_job_that_touches_what_is_just_being_deleted(lake_client: Client, clip: bytes) -> None:
    await forget(lake_client, (await lake_client.ready("/first.mp4", clip))["id"])
    second = await lake_client.add("/second.mp4", clip)
    [row] = await lake_client.rows(bss_assets)
    await grow_old(lake_client)
    storage = LikeS3(lake_client.data)
    lake = replace(lake_client.lake, storage=storage)
    report, _ = await asyncio.gather(collect(lake), hls_split(storage, Asset(**row._mapping), lambda done: None))
    assert len(storage.deleted) == report.chunks.count > 0
    await read_back(lake_client, second, clip)


async def test_everything_at_once(lake_data: Path, clip: bytes) -> None:
    """Two lakes of one folder collect all the time, while a third's clients come back to what is two days old."""
    async with AsyncExitStack() as stack:
        client, *collectors = [await stack.enter_async_context(opened(lake_data)) for _ in range(3)]
        videos: list[str] = []
        for number in range(ROUNDS):
            files = [random_bytes() for _ in range(4)]
            names = [await client.stage(data) for data in files]
            fresh = [random_bytes() for _ in range(4)]
            pending = [await begin_announced(client, data) for data in fresh]
            parts = [await send(client, upload, data) for (upload, _), data in zip(pending, fresh, strict=True)]
            for video in videos:
                await forget(client, video)
            await grow_old(client)
            working = asyncio.Event()

            async def keep_collecting(collector: Client, working: asyncio.Event = working) -> None:
                while not working.is_set():
                    assert (await collect(collector.lake)).problems == []

            async def register(name: str, data: bytes, number: int = number) -> tuple[str, bytes] | None:
                answer = await client.register(f"/{number}/{name}.mp4", name)
                assert answer.status_code in (201, 404)
                return (answer.json()["id"], data) if answer.is_success else None

            async def begin_again(data: bytes) -> tuple[str, bytes] | None:
                upload, _ = await begin_announced(client, data)
                if upload.id:
                    answer = await upload.call("complete", parts=await send(client, upload, data))
                    assert answer.is_success, answer.text
                answer = await client.register(f"/again/{upload.key[-16:]}.mp4", upload.key.rsplit("/", 1)[1])
                return answer.raise_for_status().json()["id"], data

            async def complete(number: int) -> tuple[str, bytes] | None:
                upload, data = pending[number][0], fresh[number]  # noqa: B023 (it ends in this round)
                answer = await upload.call("complete", parts=parts[number])  # noqa: B023 (as above)
                assert answer.status_code in (200, 404)
                if not answer.is_success:
                    return None
                answer = await client.register(f"/c/{upload.key[-16:]}.mp4", upload.key.rsplit("/", 1)[1])
                return answer.raise_for_status().json()["id"], data

            async def process(number: int = number) -> tuple[str, bytes]:
                return (await client.ready(f"/videos/{number}.mp4", clip))["id"], clip

            collecting = [asyncio.create_task(keep_collecting(collector)) for collector in collectors]
            made = await asyncio.gather(
                register(names[0], files[0]), register(names[1], files[1]), begin_again(files[2]),
                begin_again(files[3]), *(complete(number) for number in range(4)), process(),
            )  # fmt: skip
            working.set()
            await asyncio.gather(*collecting)
            for asset, data in filter(None, made):
                await read_back(client, asset, data)
            assert made[-1] is not None
            videos = [made[-1][0]]
        await grow_old(client)
        await collect(client.lake)
        for row in await client.rows(bss_assets):
            assert await client.lake.storage.size(f"alice/robotics/staging/{row.hash}") == row.size
