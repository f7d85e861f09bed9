"""Every storage does the same: a folder, and two real S3 servers. What one of them cannot do is said as such."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from dreamlake.core.parts import CompletedPart
from dreamlake.server.storage import Storage, StorageError, UnknownUploadError, s3client, s3objects

from ._stores import Store

KEY = "alice/robotics/staging/0123456789abcdef"
MIB = 1 << 20
LEAST = 100_000  # of all parts but the last; AWS wants 5 MiB, which these stores do not ask for
NOTHING = hashlib.sha256(b"").hexdigest()


@pytest.fixture
async def storage(store: Store) -> AsyncIterator[Storage]:
    async with store.open() as opened:
        yield opened


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def read(storage: Storage, key: str, start: int, stop: int) -> bytes:
    return b"".join([piece async for piece in storage.stream(key, start, stop)])


async def listed(storage: Storage, prefix: str = "") -> dict[str, int]:
    return {found.key: found.size async for found in storage.list_objects(prefix)}


async def modified(storage: Storage, key: str) -> float:
    [found] = [found async for found in storage.list_objects(key) if found.key == key]
    return found.modified


async def upload(storage: Storage, *parts: bytes, key: str = KEY) -> tuple[str, list[CompletedPart], str]:
    """An upload whose parts have come: its id, the list that completes it, and the digest of the whole."""
    upload_id = await storage.begin_upload(key)
    done = []
    for number, data in enumerate(parts, 1):
        etag = await storage.write_part(upload_id, key, number, pieces(data), hashlib.sha256(data).digest())
        done.append(CompletedPart(number, etag))
    return upload_id, done, hashlib.sha256(b"".join(parts)).hexdigest()


async def put(url: str, data: bytes) -> httpx.Response:
    """What a client does with a signed URL: it sends the headers that the URL names."""
    named = parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";")
    assert set(named) <= {"host", "x-amz-checksum-sha256"}
    async with httpx.AsyncClient() as client:
        return await client.put(url, content=data)


# -- objects -------------------------------------------------------------------------------------------------------


async def test_write_read_replace_delete(storage: Storage) -> None:
    assert await storage.size(KEY) is None
    assert await storage.digest(KEY) is None
    with pytest.raises(FileNotFoundError):
        await storage.read(KEY)
    with pytest.raises(FileNotFoundError):
        await read(storage, KEY, 0, 1)
    for data in (b"one", b"", b"three" * 1000):
        await storage.write(KEY, data)
        assert await storage.read(KEY) == data
        assert await storage.size(KEY) == len(data)
        assert await storage.digest(KEY) == hashlib.sha256(data).hexdigest()
    assert await listed(storage) == {KEY: 5000}
    await storage.delete(KEY)
    await storage.delete(KEY)  # that there is none is no error
    assert await storage.size(KEY) is None
    assert await listed(storage) == {}


async def test_a_folder_of_objects_is_no_object(storage: Storage) -> None:
    await storage.write("a/b/c", b"data")
    assert await storage.size("a/b") is None
    assert await storage.touch("a/b") is False
    assert await storage.delete_if_older("a/b", time.time() + 100) is False
    assert await listed(storage) == {"a/b/c": 4}


async def test_ranges(storage: Storage) -> None:
    data = os.urandom(3 * MIB + 17)
    await storage.write(KEY, data)
    for start, stop in ((0, len(data)), (0, 1), (len(data) - 1, len(data)), (MIB - 1, 2 * MIB + 1), (5, 5)):
        assert await read(storage, KEY, start, stop) == data[start:stop]
    async with aclosing(storage.stream(KEY, 0, len(data))) as stream:  # type: ignore[type-var]
        assert len(await anext(stream)) <= MIB


@pytest.mark.parametrize(
    "key", ["ünï/cödé 漢字/🎥.mp4", "plus+and%20 percent&?#=/~'(x)!*", "chunks/.x", "a/" + "n" * 255]
)
async def test_keys_are_taken_as_they_are(storage: Storage, key: str) -> None:
    await storage.write(key, b"data")
    assert await storage.read(key) == b"data"
    assert await listed(storage, key[:3]) == {key: 4}
    await storage.move(key, f"moved/{key}")
    assert await listed(storage) == {f"moved/{key}": 4}
    assert await storage.touch(f"moved/{key}")
    async with storage.local_file(f"moved/{key}") as path:
        assert path.read_bytes() == b"data"


async def test_no_key_leaves_the_root(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"secret")
    for key in ("", "/", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "a/./b", "a\0b", "a\\b", "n" * 256):
        for call in (
            storage.size(key),
            storage.digest(key),
            storage.read(key),
            storage.write(key, b""),
            storage.write_file(key, tmp_path / "x"),
            storage.move(key, "y"),
            storage.touch(key),
            storage.delete(key),
            storage.delete_if_older(key, 0),
            storage.begin_upload(key),
        ):
            with pytest.raises(StorageError, match="is not a key"):
                await call
    assert await listed(storage) == {}
    assert (tmp_path / "x").read_bytes() == b"secret"


async def test_listing_by_prefix(storage: Storage) -> None:
    keys = {f"chunks/{n:04x}.ts": n % 3 for n in range(7)} | {"chunk": 1, "chunks-not/x": 2, "alice/p/staging/1": 3}
    for key, size in keys.items():
        await storage.write(key, bytes(size))
    assert await listed(storage) == keys
    for prefix in ("chunks/", "chunks", "chunks/0003", "alice/", "nobody/", "chunks/0003.ts", "chunks/0003.ts/"):
        assert await listed(storage, prefix) == {k: n for k, n in keys.items() if k.startswith(prefix)}, prefix


async def test_a_listing_in_pages(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each storage has its own way to say that there is more."""
    monkeypatch.setattr(type(storage), "page", 2)
    await asyncio.gather(*(storage.write(f"p/{n}", b"") for n in range(5)))
    assert await listed(storage, "p/") == {f"p/{n}": 0 for n in range(5)}


async def test_moving(storage: Storage) -> None:
    await storage.write(KEY, b"new")
    await storage.write("target/1", b"old")
    for target in ("target/1", "another/folder/2"):
        await storage.move(KEY, target)
        assert await storage.read(target) == b"new"
        assert await storage.digest(target) == hashlib.sha256(b"new").hexdigest()
        assert await storage.size(KEY) is None
        with pytest.raises(FileNotFoundError):
            await storage.move(KEY, target)
        assert await storage.read(target) == b"new"
        await storage.write(KEY, b"new")


async def test_moving_what_is_too_large_to_copy_at_once(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3objects, "COPY_LIMIT", LEAST)
    monkeypatch.setattr(s3objects, "COPY_PART", LEAST)
    data = os.urandom(2 * LEAST + 1)
    await storage.write(KEY, data)
    await storage.move(KEY, "target")
    assert await storage.read("target") == data
    assert await listed(storage) == {"target": len(data)}
    assert [pending async for pending in storage.list_uploads()] == []


async def test_what_is_touched_or_moved_is_young(storage: Storage, store: Store) -> None:
    await storage.write(KEY, b"data")
    await storage.write("source", b"data")
    digest, written = await storage.digest(KEY), await modified(storage, KEY)
    assert abs(written - time.time()) < 60
    await asyncio.sleep(1.1)  # the stores say seconds, and their clock is all there is to ask
    now = time.time()
    assert await storage.touch(KEY) is True
    assert await modified(storage, KEY) >= int(now) > int(written)
    assert (await storage.read(KEY), await storage.digest(KEY)) == (b"data", digest)
    assert await storage.delete_if_older(KEY, now) is False
    assert await storage.read(KEY) == b"data"
    assert await storage.delete_if_older(KEY, time.time() + 60) is True
    assert await storage.delete_if_older(KEY, time.time() + 60) is False
    assert await storage.touch(KEY) is False
    assert await storage.size(KEY) is None

    await storage.move("source", "target")
    # rclone lists it as old as what it was made of; whoever sweeps must know what is in use.
    assert (await modified(storage, "target") >= int(now)) is (store.name != "rclone")


@pytest.mark.parametrize("size", [0, 10 * MIB, 20 * MIB + 1])
async def test_a_file_goes_in_and_out(storage: Storage, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3objects, "PIECE", 5 * MIB)
    data = os.urandom(size)
    digest = hashlib.sha256(data).hexdigest()
    storage.scratch.mkdir(exist_ok=True)
    path = storage.scratch / "file"
    for known in (None, digest):
        path.write_bytes(data)
        await storage.write_file(KEY, path, known)
        assert not path.exists()
        assert await storage.digest(KEY) == digest
        async with storage.local_file(KEY) as found:
            assert hashlib.sha256(found.read_bytes()).hexdigest() == digest
    assert list(storage.scratch.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        async with storage.local_file("nothing"):
            pass
    assert [pending async for pending in storage.list_uploads()] == []


async def test_a_download_of_a_process_that_was_killed_is_removed(storage: Storage, store: Store) -> None:
    if store.server is None:
        return  # nothing is downloaded there
    await storage.write(KEY, b"data")
    left = storage.scratch / "download-0123"
    left.write_bytes(b"left")
    async with storage.local_file(KEY) as first, storage.local_file(KEY) as second:
        assert first.read_bytes() == second.read_bytes() == b"data"
        assert not left.exists()


# -- uploads -------------------------------------------------------------------------------------------------------


async def test_an_upload_in_parts(storage: Storage, store: Store) -> None:
    parts = [os.urandom(LEAST), os.urandom(LEAST), b"end"]
    upload_id, done, digest = await upload(storage, *parts)
    assert [pending.upload_id async for pending in storage.list_uploads() if pending.key == KEY] == [upload_id]
    [pending] = [pending async for pending in storage.list_uploads()]
    assert abs(pending.begun - time.time()) < 60
    assert [(part.part_number, part.size) for part in await storage.list_parts(upload_id, KEY)] == [
        (1, LEAST),
        (2, LEAST),
        (3, 3),
    ]
    assert await storage.size(KEY) is None
    bare = [CompletedPart(part.part_number, part.etag.strip('"')) for part in done]
    staged = await storage.complete_upload(upload_id, KEY, bare, digest[:16])
    # S3 joins without reading: whoever wants the digest has to read the object.
    assert (staged.sha256, staged.size) == (digest if store.server is None else None, 2 * LEAST + 3)
    assert await storage.digest(KEY) == digest
    assert [pending async for pending in storage.list_uploads()] == []
    for _ in range(2):  # an answer that was lost, and asked for again
        with pytest.raises(UnknownUploadError):
            await storage.complete_upload(upload_id, KEY, done, digest)
    assert await storage.digest(KEY) == digest


async def test_more_parts_than_a_page(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(storage), "page", 2)
    upload_id, done, _ = await upload(storage, *(bytes([n]) for n in range(5)))
    assert [(part.part_number, part.etag) for part in await storage.list_parts(upload_id, KEY)] == [
        (part.part_number, part.etag) for part in done
    ]
    others = [await storage.begin_upload(f"other/{n}") for n in range(4)]
    assert {pending.upload_id async for pending in storage.list_uploads()} == {upload_id, *others}


async def test_an_upload_of_nothing(storage: Storage) -> None:
    upload_id, done, digest = await upload(storage, b"")
    with pytest.raises(StorageError):
        await storage.complete_upload(upload_id, KEY, [], digest)
    await storage.complete_upload(upload_id, KEY, done, digest)
    assert await storage.size(KEY) == 0
    assert await storage.digest(KEY) == NOTHING


async def test_a_wrong_list_changes_nothing(storage: Storage) -> None:
    await storage.write(KEY, b"old")
    first, last = os.urandom(LEAST), b"end"
    upload_id, done, digest = await upload(storage, first, last)
    for parts in (
        done[:1],
        done[1:],
        done[::-1],
        [*done, done[1]],
        [*done, CompletedPart(3, done[1].etag)],
        [done[0], CompletedPart(2, done[0].etag)],
        [done[0], CompletedPart(2, "nonsense")],
        [CompletedPart(0, done[0].etag), *done],
        [],
    ):
        with pytest.raises(StorageError) as refused:
            await storage.complete_upload(upload_id, KEY, parts, digest)
        assert not isinstance(refused.value, UnknownUploadError)
        assert await storage.read(KEY) == b"old"
    await storage.complete_upload(upload_id, KEY, done, digest)
    assert await storage.read(KEY) == first + last


async def test_a_part_that_does_not_match_its_checksum(storage: Storage) -> None:
    upload_id = await storage.begin_upload(KEY)
    with pytest.raises(StorageError, match="part 1 does not match"):
        await storage.write_part(upload_id, KEY, 1, pieces(b"wro", b"ng"), hashlib.sha256(b"right").digest())
    assert await storage.list_parts(upload_id, KEY) == []
    await storage.write_part(upload_id, KEY, 1, pieces(b"rig", b"ht"), hashlib.sha256(b"right").digest())
    assert [part.size for part in await storage.list_parts(upload_id, KEY)] == [5]


async def test_a_part_that_is_sent_again(storage: Storage, store: Store) -> None:
    upload_id, _, _ = await upload(storage, b"old")
    if store.name == "rclone":
        with pytest.raises(OSError, match="NotImplemented"):
            await storage.write_part(upload_id, KEY, 1, pieces(b"newer"), None)
        return
    etag = await storage.write_part(upload_id, KEY, 1, pieces(b"newer"), None)
    assert [(part.etag, part.size) for part in await storage.list_parts(upload_id, KEY)] == [(etag, 5)]
    await storage.complete_upload(upload_id, KEY, [CompletedPart(1, etag)], hashlib.sha256(b"newer").hexdigest())
    assert await storage.read(KEY) == b"newer"


async def test_aborted_and_unknown_uploads(storage: Storage, store: Store) -> None:
    upload_id, done, digest = await upload(storage, b"data")
    aborted, _, _ = await upload(storage, b"data")
    await storage.abort_upload(aborted, KEY)
    unknown = [(name, KEY) for name in (aborted, "0" * 32, "..", "a/../b", ".", "\0", "", "ü", "x" * 2000)]
    if store.name != "juicefs":  # which does not look at the key of an upload
        unknown.append((upload_id, KEY[:-1] + "0"))
    for name, key in unknown:
        with pytest.raises(UnknownUploadError):
            await storage.list_parts(name, key)
        with pytest.raises(UnknownUploadError):
            await storage.complete_upload(name, key, done, digest)
        with pytest.raises(UnknownUploadError):
            await storage.abort_upload(name, key)
        with pytest.raises(UnknownUploadError):
            await storage.write_part(name, key, 1, pieces(b"data"), None)
    assert [pending.upload_id async for pending in storage.list_uploads()] == [upload_id]
    assert await storage.size(KEY) is None
    await storage.complete_upload(upload_id, KEY, done, digest)


async def test_an_upload_completed_by_several_at_once(storage: Storage) -> None:
    """One of them joins; the others do the same or find that the upload is not known any more."""
    unexpected = []
    for attempt in range(5):
        upload_id, done, digest = await upload(storage, bytes([attempt]) * LEAST, b"end")
        outcomes = await asyncio.gather(
            *(storage.complete_upload(upload_id, KEY, done, digest) for _ in range(4)), return_exceptions=True
        )
        unexpected += [
            repr(outcome)
            for outcome in outcomes
            if isinstance(outcome, BaseException) and not isinstance(outcome, UnknownUploadError)
        ]
        assert await storage.digest(KEY) == digest
    assert unexpected == []


# -- what clients are given ----------------------------------------------------------------------------------------


async def test_parts_go_straight_to_the_store(storage: Storage, store: Store) -> None:
    parts = [os.urandom(LEAST), b"end"]
    digests = [hashlib.sha256(part).digest() for part in parts]
    upload_id = await storage.begin_upload(KEY)
    urls = [await storage.sign_part(upload_id, KEY, n, digest) for n, digest in enumerate(digests, 1)]
    assert await storage.checks_parts() is (store.name != "rclone")
    if store.server is None:
        assert urls == [None, None]
        return
    done = []
    for number, (url, part) in enumerate(zip(urls, parts, strict=True), 1):
        assert url is not None
        assert url.startswith(store.server.url)
        if await storage.checks_parts():
            refused = await put(url, part[:-1] + b"?")
            assert refused.status_code == 400, refused.text
            assert "SHA256" in refused.text
        sent = (await put(url, part)).raise_for_status()
        done.append(CompletedPart(number, sent.headers["etag"]))
    await storage.complete_upload(upload_id, KEY, done, "")
    assert await storage.digest(KEY) == hashlib.sha256(b"".join(parts)).hexdigest()
    assert await listed(storage, ".probe") == {}


async def test_a_part_whose_checksum_is_not_known(storage: Storage, store: Store) -> None:
    upload_id = await storage.begin_upload(KEY)
    url = await storage.sign_part(upload_id, KEY, 1, None)
    if url is None:
        assert store.server is None
        return
    etag = (await put(url, b"data")).raise_for_status().headers["etag"]
    await storage.complete_upload(upload_id, KEY, [CompletedPart(1, etag)], "")
    assert await storage.read(KEY) == b"data"


async def test_numbers_that_no_part_has(storage: Storage, store: Store) -> None:
    if store.server is None:
        return  # the lake takes them itself
    upload_id = await storage.begin_upload(KEY)
    for number in (0, -1, 10_001):
        with pytest.raises(StorageError, match="1 to 10000"):
            await storage.sign_part(upload_id, KEY, number, None)


@pytest.mark.parametrize("data", [b"", b"data"])
async def test_an_upload_of_one_part(storage: Storage, store: Store, data: bytes) -> None:
    digest = hashlib.sha256(data)
    upload_id = await storage.begin_upload(KEY, one_part=True)
    assert (upload_id == "put") is (store.name == "juicefs")
    assert await storage.list_parts(upload_id, KEY) == []
    with pytest.raises(StorageError, match="part 1 was never sent"):
        await storage.complete_upload(upload_id, KEY, [CompletedPart(1, "x")], digest.hexdigest())
    url = await storage.sign_part(upload_id, KEY, 1, digest.digest())
    if url is None:
        etag = await storage.write_part(upload_id, KEY, 1, pieces(data), digest.digest())
    else:
        assert (await put(url, b"wrong")).is_success is (not await storage.checks_parts())
        if store.name == "rclone":  # and takes no part a second time
            await storage.abort_upload(upload_id, KEY)
            upload_id = await storage.begin_upload(KEY, one_part=True)
            url = await storage.sign_part(upload_id, KEY, 1, digest.digest())
            assert url is not None
        etag = (await put(url, data)).raise_for_status().headers["etag"]
    assert [(part.part_number, part.size) for part in await storage.list_parts(upload_id, KEY)] == [(1, len(data))]
    with pytest.raises(StorageError, match="another etag"):
        await storage.complete_upload(upload_id, KEY, [CompletedPart(1, "nonsense")], digest.hexdigest())
    assert (await storage.complete_upload(upload_id, KEY, [CompletedPart(1, etag)], digest.hexdigest())).size == len(
        data
    )
    assert await storage.digest(KEY) == digest.hexdigest()
    if upload_id == "put":  # there is nothing to abort, and what has come stays
        await storage.abort_upload(upload_id, KEY)
        with pytest.raises(StorageError, match="one part"):
            await storage.sign_part(upload_id, KEY, 2, digest.digest())
    assert await storage.read(KEY) == data


async def test_objects_are_read_straight_from_the_store(storage: Storage, store: Store) -> None:
    await storage.write(KEY, bytes(range(200)))
    url = await storage.sign_get(KEY, "video/mp4", 'käse "1".mp4')
    nothing = await storage.sign_get("nothing", "video/mp4")
    if url is None or nothing is None:
        assert (url, nothing, store.server) == (None, None, None)
        return
    async with httpx.AsyncClient() as client:
        whole = await client.get(url)
        assert (whole.status_code, whole.content) == (200, bytes(range(200)))
        assert whole.headers["content-type"] == "video/mp4"
        assert whole.headers["content-disposition"] == "attachment; filename*=UTF-8''k%C3%A4se%20%221%22.mp4"
        part = await client.get(url, headers={"Range": "bytes=10-19"})
        assert part.content == bytes(range(10, 20))
        assert part.status_code == (200 if store.name == "rclone" else 206)  # rclone forgets to say so
        assert (await client.get(nothing)).status_code == 404
        assert (await client.get(url.replace("0123456789abcdef", "another"))).status_code == 403


async def test_urls_expire(storage: Storage, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await storage.write(KEY, b"data")
    monkeypatch.setattr(s3client, "URL_SECONDS", 1)
    reading = await storage.sign_get(KEY, "video/mp4")
    if reading is None:
        assert store.server is None
        return
    digest = hashlib.sha256(b"new").digest()
    writing = await storage.sign_part(await storage.begin_upload(KEY), KEY, 1, digest)
    assert writing is not None
    await asyncio.sleep(2.1)  # an expiry has whole seconds
    async with httpx.AsyncClient() as client:
        answers = [await client.get(reading), await client.put(writing, content=b"new")]
    assert [answer.status_code for answer in answers] == [400 if store.name == "rclone" else 403] * 2
