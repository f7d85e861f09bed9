"""The storage in a folder: whole objects or none, and several writers at once."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dreamlake.core.parts import CompletedPart
from dreamlake.server.storage import LocalStorage, StorageError, UnknownUploadError, open_storage

KEY = "alice/robotics/staging/0123456789abcdef"
MIB = 1 << 20


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


def files(storage: LocalStorage) -> list[str]:
    """Everything that lies in the storage, also what should not."""
    root = Path(storage.location)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def open_files(storage: LocalStorage) -> list[str]:
    """The files of the storage that this process has open."""
    links = Path("/proc/self/fd").glob("*")
    return [str(link.readlink()) for link in links if link.is_symlink() and storage.location in str(link.readlink())]


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def read(storage: LocalStorage, key: str, start: int, stop: int) -> bytes:
    return b"".join([piece async for piece in storage.stream(key, start, stop)])


async def upload(storage: LocalStorage, *parts: bytes) -> tuple[str, list[CompletedPart], str]:
    """An upload whose parts have come: its id, the list that completes it, and the digest of the whole."""
    upload_id = await storage.begin_upload(KEY)
    listed = []
    for number, data in enumerate(parts, 1):
        etag = await storage.write_part(upload_id, KEY, number, pieces(data), None)
        listed.append(CompletedPart(number, etag))
    return upload_id, listed, hashlib.sha256(b"".join(parts)).hexdigest()


# -- objects -------------------------------------------------------------------------------------------------------


async def test_write_read_replace_delete(storage: LocalStorage) -> None:
    assert await storage.size(KEY) is None
    with pytest.raises(FileNotFoundError):
        await storage.read(KEY)
    for data in (b"one", b"", b"three" * 1000):
        await storage.write(KEY, data)
        assert await storage.read(KEY) == data
        assert await storage.size(KEY) == len(data)
    assert files(storage) == [f"objects/{KEY}"]
    await storage.delete(KEY)
    await storage.delete(KEY)  # that there is none is no error
    assert files(storage) == []


async def test_another_process_opens_the_same_storage_by_its_location(storage: LocalStorage) -> None:
    await storage.write(KEY, b"here")
    assert await open_storage(storage.location, storage.scratch).read(KEY) == b"here"


async def test_ranges(storage: LocalStorage) -> None:
    data = os.urandom(3 * MIB + 17)
    await storage.write(KEY, data)
    for start, stop in ((0, len(data)), (0, 1), (len(data) - 1, len(data)), (MIB - 1, 2 * MIB + 1), (5, 5)):
        assert await read(storage, KEY, start, stop) == data[start:stop]
    assert max([len(piece) async for piece in storage.stream(KEY, 0, len(data))]) <= MIB


async def test_a_stream_goes_on_with_what_it_began(storage: LocalStorage) -> None:
    old, new = bytes(3 * MIB), b"\1" * (3 * MIB)
    await storage.write(KEY, old)
    stream = storage.stream(KEY, 0, len(old))
    first = await anext(stream)
    await storage.write(KEY, new)
    assert first + b"".join([piece async for piece in stream]) == old
    assert await storage.read(KEY) == new


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc which files are open")
async def test_a_stream_that_is_left_closes_its_file(storage: LocalStorage) -> None:
    await storage.write(KEY, bytes(3 * MIB))
    stream = storage.stream(KEY, 0, 3 * MIB)
    await anext(stream)
    assert len(open_files(storage)) == 1
    await stream.aclose()  # type: ignore[attr-defined]
    assert open_files(storage) == []


@pytest.mark.parametrize(
    "key", ["", "/", ".", "..", "../x", "a/../../x", "a/..", "/etc/passwd", "a//b", "a/", "a/./b", "a\0b", "a\\..\\b"]
)
async def test_no_key_leaves_the_root(storage: LocalStorage, key: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"secret")
    for call in (
        lambda: storage.size(key),
        lambda: storage.read(key),
        lambda: read(storage, key, 0, 1),
        lambda: storage.write(key, b""),
        lambda: storage.write_file(key, tmp_path / "x"),
        lambda: storage.delete(key),
        lambda: storage.begin_upload(key),
    ):
        with pytest.raises(StorageError):
            await call()
    with pytest.raises(StorageError):
        async with storage.local_file(key):
            pass
    assert files(storage) == []
    assert (tmp_path / "x").read_bytes() == b"secret"


async def test_a_local_file_is_the_object(storage: LocalStorage) -> None:
    with pytest.raises(FileNotFoundError):
        async with storage.local_file(KEY):
            pass
    await storage.write(KEY, b"data")
    async with storage.local_file(KEY) as path:
        assert path.read_bytes() == b"data"


# -- whole files ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["same filesystem", "another filesystem"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder to move files from."""
    if request.param == "same filesystem":
        yield tmp_path
        return
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has one filesystem only")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        yield Path(folder)


async def test_a_file_is_moved_in(storage: LocalStorage, elsewhere: Path) -> None:
    data = os.urandom(2 * MIB + 3)
    for content in (data, data[::-1]):  # the second replaces the first
        source = elsewhere / "file"
        source.write_bytes(content)
        await storage.write_file(KEY, source)
        assert await storage.read(KEY) == content
        assert not source.exists()
        assert files(storage) == [f"objects/{KEY}"]


async def test_a_file_that_is_not_there_changes_nothing(storage: LocalStorage, elsewhere: Path) -> None:
    await storage.write(KEY, b"old")
    with pytest.raises(FileNotFoundError):
        await storage.write_file(KEY, elsewhere / "missing")
    assert await storage.read(KEY) == b"old"
    assert files(storage) == [f"objects/{KEY}"]


# -- failures ------------------------------------------------------------------------------------------------------


async def test_a_write_that_fails_leaves_the_old_object(storage: LocalStorage) -> None:
    await storage.write(KEY, b"old")
    with pytest.raises(TypeError):
        await storage.write(KEY, "not bytes")  # type: ignore[arg-type]
    assert await storage.read(KEY) == b"old"
    assert files(storage) == [f"objects/{KEY}"]


async def test_a_full_disk_leaves_the_old_object(storage: LocalStorage) -> None:
    """A limit on the size of files fails in the middle of the write, as a full disk does."""
    await storage.write(KEY, b"old")
    code = f"""
import asyncio, resource, signal
from dreamlake.server.storage import LocalStorage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    asyncio.run(LocalStorage({storage.location!r}).write({KEY!r}, bytes(5000)))
except OSError as error:
    print(type(error).__name__)
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "OSError\n", done.stderr
    assert await storage.read(KEY) == b"old"
    assert files(storage) == [f"objects/{KEY}"]


async def test_a_part_whose_body_fails_leaves_the_old_part(storage: LocalStorage) -> None:
    upload_id, listed, digest = await upload(storage, b"old")

    async def breaks_off() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        raise ConnectionResetError("the cable was pulled")

    with pytest.raises(ConnectionResetError):
        await storage.write_part(upload_id, KEY, 1, breaks_off(), None)
    with pytest.raises(StorageError, match="checksum"):
        await storage.write_part(upload_id, KEY, 1, pieces(b"new"), hashlib.sha256(b"other").digest())
    assert len(files(storage)) == 2  # the key and the part
    await storage.complete_upload(upload_id, KEY, listed, digest)
    assert await storage.read(KEY) == b"old"


async def test_a_part_that_is_cancelled_leaves_nothing(storage: LocalStorage) -> None:
    upload_id = await storage.begin_upload(KEY)
    begun = asyncio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        begun.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(storage.write_part(upload_id, KEY, 1, stalls(), None))
    await begun.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert files(storage) == [f"uploads/{upload_id}/key"]


async def test_a_complete_that_is_refused_leaves_the_old_object(storage: LocalStorage) -> None:
    await storage.write(KEY, b"old")
    upload_id, listed, digest = await upload(storage, b"ne", b"w")
    before = files(storage)
    for parts, expected in (
        (listed, "0" * 16),
        (listed[:1], digest),
        (listed[::-1], digest),
        ([*listed, *listed], digest),
    ):
        with pytest.raises(StorageError):
            await storage.complete_upload(upload_id, KEY, parts, expected)
        assert files(storage) == before
        assert await storage.read(KEY) == b"old"
    staged = await storage.complete_upload(upload_id, KEY, listed, digest[:16])
    assert (staged.sha256, staged.size) == (digest, 3)
    assert await storage.read(KEY) == b"new"
    assert files(storage) == [f"objects/{KEY}"]


async def test_uploads_that_are_not_known(storage: LocalStorage) -> None:
    upload_id, listed, digest = await upload(storage, b"data")
    for unknown, key in (("0" * 32, KEY), ("..", KEY), ("\0", KEY), ("", KEY), (upload_id, KEY[:-1] + "0")):
        with pytest.raises(UnknownUploadError):
            await storage.list_parts(unknown, key)
        with pytest.raises(UnknownUploadError):
            await storage.write_part(unknown, key, 1, pieces(b""), None)
        with pytest.raises(UnknownUploadError):
            await storage.complete_upload(unknown, key, listed, digest)
        with pytest.raises(UnknownUploadError):
            await storage.abort_upload(unknown, key)
    assert len(await storage.list_parts(upload_id, KEY)) == 1


# -- several at once -----------------------------------------------------------------------------------------------


async def test_threads_that_write_one_key(storage: LocalStorage) -> None:
    contents = [bytes([n]) * (MIB // 4 + n) for n in range(8)]
    await storage.write(KEY, contents[0])
    writing = asyncio.gather(*(storage.write(KEY, content) for content in contents * 4))
    while not writing.done():
        assert await storage.read(KEY) in contents
    await writing
    assert await storage.read(KEY) in contents
    assert files(storage) == [f"objects/{KEY}"]


async def test_processes_that_write_one_key(storage: LocalStorage, tmp_path: Path) -> None:
    """Each by each way there is; whoever reads sees one of the contents and never a mixture."""
    code = f"""
import asyncio, sys
from pathlib import Path
from dreamlake.server.storage import LocalStorage
async def main(n):
    storage = LocalStorage({storage.location!r})
    content = bytes([n]) * 300_000
    for _ in range(20):
        await storage.write({KEY!r}, content)
        file = Path({str(tmp_path)!r}) / f"file-{{n}}"
        file.write_bytes(content)
        await storage.write_file({KEY!r}, file)
asyncio.run(main(int(sys.argv[1])))
"""
    contents = [bytes([n]) * 300_000 for n in range(4)]
    await storage.write(KEY, contents[0])
    writers = [await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(n)) for n in range(4)]
    ended = asyncio.gather(*(writer.wait() for writer in writers))
    while not ended.done():
        assert await storage.read(KEY) in contents
    assert await ended == [0] * 4
    assert files(storage) == [f"objects/{KEY}"]


async def test_a_part_written_by_several_at_once_is_one_of_them(storage: LocalStorage) -> None:
    """A list that has a part twice could never be completed."""
    contents = [bytes([n]) * 1000 for n in range(8)]
    by_etag = {hashlib.sha256(content).hexdigest()[:32]: content for content in contents}
    counts = []
    for _ in range(20):
        upload_id = await storage.begin_upload(KEY)
        await asyncio.gather(*(storage.write_part(upload_id, KEY, 1, pieces(content), None) for content in contents))
        [*others, part] = await storage.list_parts(upload_id, KEY)
        counts.append(1 + len(others))
        content = by_etag[part.etag.strip('"')]
        await storage.complete_upload(
            upload_id, KEY, [CompletedPart(1, part.etag)], hashlib.sha256(content).hexdigest()
        )
        assert await storage.read(KEY) == content
    assert counts == [1] * 20


async def test_an_upload_completed_by_several_at_once(storage: LocalStorage) -> None:
    """One of them joins; the others do the same or find that the upload is not known any more."""
    unexpected = []
    for attempt in range(25):
        upload_id, listed, digest = await upload(storage, *(bytes([attempt, n]) * 100 for n in range(30)))
        outcomes = await asyncio.gather(
            *(storage.complete_upload(upload_id, KEY, listed, digest) for _ in range(6)), return_exceptions=True
        )
        unexpected += [
            repr(outcome)
            for outcome in outcomes
            if isinstance(outcome, BaseException) and not isinstance(outcome, UnknownUploadError)
        ]
        assert hashlib.sha256(await storage.read(KEY)).hexdigest() == digest
    assert unexpected == []
    assert files(storage) == [f"objects/{KEY}"]


async def test_an_object_that_is_touched_while_old_ones_are_cleared_up(storage: LocalStorage) -> None:
    """Whoever was told that it is there finds it there; whoever was not writes it, and finds that."""
    told = {True: 0, False: 0}
    for attempt in range(100):
        await storage.write(KEY, b"chunk")
        os.utime(Path(storage.location) / "objects" / KEY, (0, 0))
        before = time.time() - 60

        async def reuse() -> bool:
            there = await storage.touch(KEY)
            if not there:
                await storage.write(KEY, b"chunk")
            return there

        clear = [storage.delete_if_older(KEY, before) for _ in range(2)]
        order = [*clear, reuse()] if attempt % 2 else [reuse(), *clear]
        there = await asyncio.gather(*order)
        told[there[2 if attempt % 2 else 0]] += 1
        assert await storage.read(KEY) == b"chunk", there
    assert files(storage) == [f"objects/{KEY}"]
    assert min(told.values()) > 0, told  # both have happened


async def test_a_part_that_comes_when_its_upload_is_gone(storage: LocalStorage) -> None:
    upload_id = await storage.begin_upload(KEY)

    async def body() -> AsyncIterator[bytes]:
        yield b"data"
        await storage.abort_upload(upload_id, KEY)

    with pytest.raises(UnknownUploadError):
        await storage.write_part(upload_id, KEY, 1, body(), None)
    assert files(storage) == []


async def test_the_folder_may_be_moved(storage: LocalStorage, tmp_path: Path) -> None:
    await storage.write(KEY, b"data")
    shutil.move(storage.location, tmp_path / "moved")
    assert await LocalStorage(tmp_path / "moved").read(KEY) == b"data"
