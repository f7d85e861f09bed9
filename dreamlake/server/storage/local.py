"""A storage in a folder of this machine.

::

    objects/{key}                       the objects
    uploads/{uploadId}/key              which object an upload goes to
    uploads/{uploadId}/00001.{etag}     its parts
    vectors/                            the tables of LanceDB
    scratch/                            what jobs work on; nothing in it is needed by anybody else

Everything is written beside its place, flushed to disk and renamed, so that a crash leaves the old state or the new
one. A part's name carries its etag, so that listing the folder is all there is to resuming.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from hashlib import file_digest, sha256
from io import FileIO
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from anyio import to_thread

from dreamlake.core.parts import CompletedPart
from dreamlake.core.wireuploads import PartDone
from dreamlake.server.storage.base import (
    Listed,
    Pending,
    Staged,
    StorageError,
    check_parts,
    key_parts,
    unknown_upload,
)
from dreamlake.server.storage.files import TEMPORARY, regular_file, replacing, sync_folder, touch, unlink_if_older, walk

__all__ = ["LocalStorage"]

BLOCK = 1024 * 1024
_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_PART = re.compile(r"(\d{5})\.([0-9a-f]{32})")


class LocalStorage:
    """Objects as files below a folder; several processes may use it at once.

    Args:
        root: the folder; it is made when it is not there.
    """

    page = 1000  # of a listing: as much of it as is in memory

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root)
        self._objects = self._root / "objects"
        self._uploads = self._root / "uploads"
        self._scratch = self._root / "scratch"
        for folder in (self._objects, self._uploads, self._scratch):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def location(self) -> str:
        return str(self._root)

    @property
    def scratch(self) -> Path:
        return self._scratch

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    # -- objects -----------------------------------------------------------------------------------------------------

    async def size(self, key: str) -> int | None:
        try:
            return (await to_thread.run_sync(regular_file, self._path(key))).st_size
        except FileNotFoundError:
            return None

    async def digest(self, key: str) -> str | None:
        def digest() -> str:
            regular_file(self._path(key))
            with self._path(key).open("rb") as file:
                return file_digest(file, "sha256").hexdigest()

        try:
            return await to_thread.run_sync(digest)
        except FileNotFoundError:
            return None

    async def read(self, key: str) -> bytes:
        return await to_thread.run_sync(self._path(key).read_bytes)

    async def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        def read() -> list[bytes | None]:
            found: list[bytes | None] = []
            for path in paths:
                try:
                    found.append(path.read_bytes())
                except FileNotFoundError:
                    found.append(None)
            return found

        paths = [self._path(key) for key in keys]
        return await to_thread.run_sync(read)  # a thread for each would cost more than the reading

    async def stream(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        file = await to_thread.run_sync(partial(open, self._path(key), "rb"))
        try:
            for at in range(start, stop, BLOCK):
                yield await to_thread.run_sync(os.pread, file.fileno(), min(BLOCK, stop - at), at)
        finally:
            file.close()

    async def write(self, key: str, data: bytes) -> None:
        def write() -> None:
            with replacing(self._path(key)) as file:
                file.write(data)

        await to_thread.run_sync(write)

    async def write_file(self, key: str, path: Path, sha256: str | None = None) -> None:  # noqa: ARG002 (S3 keeps it)
        def move() -> None:
            target = self._path(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.stat().st_dev == target.parent.stat().st_dev:
                with path.open("rb") as file:
                    os.utime(file.fileno())  # it is new here, however old the file is
                    os.fsync(file.fileno())
                path.replace(target)
                sync_folder(target.parent)
            else:
                with replacing(target) as file, path.open("rb") as source:
                    shutil.copyfileobj(source, file, BLOCK)
                path.unlink()

        await to_thread.run_sync(move)

    async def move(self, source: str, target: str) -> None:
        def move() -> None:
            origin, goal = self._path(source), self._path(target)
            goal.parent.mkdir(parents=True, exist_ok=True)
            regular_file(origin)
            os.utime(origin)
            origin.replace(goal)
            sync_folder(goal.parent)

        await to_thread.run_sync(move)

    async def touch(self, key: str) -> bool:
        return await to_thread.run_sync(touch, self._path(key))

    async def delete(self, key: str) -> None:
        await to_thread.run_sync(partial(self._path(key).unlink, missing_ok=True))

    async def delete_if_older(self, key: str, before: float) -> bool:
        return await to_thread.run_sync(unlink_if_older, self._path(key), before)

    async def list_objects(self, prefix: str) -> AsyncIterator[Listed]:
        folder, slash, begin = prefix.rpartition("/")
        root = self._objects.joinpath(*key_parts(folder)) if slash else self._objects
        found = walk(root, folder + slash, begin)
        while page := await to_thread.run_sync(lambda: list(islice(found, self.page))):
            for entry in page:
                yield entry

    async def sweep(self, before: float, *, dry_run: bool = False) -> AsyncIterator[Listed]:
        found = _leftovers(self._root, before)
        while page := await to_thread.run_sync(lambda: list(islice(found, self.page))):
            for left in page:
                if not dry_run:
                    await to_thread.run_sync(_remove, self._root / left.key)
                yield left

    @asynccontextmanager
    async def local_file(self, key: str) -> AsyncIterator[Path]:
        path = self._path(key)
        await to_thread.run_sync(regular_file, path)
        yield path

    async def engine_place(self, name: str) -> tuple[str, dict[str, str]]:
        return str(self._root / name), {}

    async def sign_get(self, key: str, media_type: str, filename: str | None = None) -> None:  # noqa: ARG002 (S3 does)
        return None

    # -- multipart uploads -------------------------------------------------------------------------------------------

    async def checks_parts(self) -> bool:
        return True

    async def begin_upload(self, key: str, *, one_part: bool = False) -> str:  # noqa: ARG002 (one way takes them all)
        self._path(key)
        upload_id = secrets.token_hex(16)

        def begin() -> None:
            (self._uploads / upload_id).mkdir()
            with replacing(self._uploads / upload_id / "key") as file:
                file.write(key.encode())

        await to_thread.run_sync(begin)
        return upload_id

    async def sign_part(self, upload_id: str, key: str, number: int, sha256: bytes | None) -> None:  # noqa: ARG002 (S3)
        return None

    async def write_part(
        self, upload_id: str, key: str, number: int, body: AsyncIterator[bytes], sha256: bytes | None
    ) -> str:
        folder = await to_thread.run_sync(self._upload, upload_id, key)
        try:
            return await _PartWriter(folder, number, sha256).run(body)
        except FileNotFoundError:
            raise unknown_upload() from None  # aborted or completed meanwhile

    async def list_parts(self, upload_id: str, key: str) -> list[PartDone]:
        folder = await to_thread.run_sync(self._upload, upload_id, key)
        try:
            return await to_thread.run_sync(_parts, folder)
        except FileNotFoundError:
            raise unknown_upload() from None

    async def complete_upload(self, upload_id: str, key: str, parts: Sequence[CompletedPart], digest: str) -> Staged:
        folder = await to_thread.run_sync(self._upload, upload_id, key)
        try:
            return await to_thread.run_sync(_join, folder, list(parts), self._path(key), digest)
        except FileNotFoundError:
            raise unknown_upload() from None  # somebody else has completed or aborted it meanwhile

    async def abort_upload(self, upload_id: str, key: str) -> None:
        folder = await to_thread.run_sync(self._upload, upload_id, key)
        await to_thread.run_sync(_forget, folder)

    async def list_uploads(self) -> AsyncIterator[Pending]:
        found = _begun(self._uploads)
        while page := await to_thread.run_sync(lambda: list(islice(found, self.page))):
            for upload in page:
                yield upload

    def _upload(self, upload_id: str, key: str) -> Path:
        folder = self._uploads / upload_id
        try:
            if _UPLOAD_ID.fullmatch(upload_id) and (folder / "key").read_text() == key:
                return folder
        except FileNotFoundError:
            pass
        raise unknown_upload()

    def _path(self, key: str) -> Path:
        return self._objects.joinpath(*key_parts(key))


class _PartWriter:
    """Writes one part beside its place, and puts it there when all of it has come."""

    def __init__(self, folder: Path, number: int, expected: bytes | None) -> None:
        self._folder = folder
        self._number = number
        self._expected = expected
        self._temporary = folder / f".{number:05d}.{secrets.token_hex(8)}"
        self._digest = sha256()

    async def run(self, body: AsyncIterator[bytes]) -> str:
        """Write the body and return the part's etag."""
        file = await to_thread.run_sync(partial(FileIO, self._temporary, "xb"))
        try:
            pending: list[bytes] = []
            size = 0
            async for piece in body:
                pending.append(piece)
                size += len(piece)
                if size >= BLOCK:
                    await to_thread.run_sync(self._write, file, pending)
                    pending, size = [], 0
            await to_thread.run_sync(self._write, file, pending)
            return await to_thread.run_sync(self._put)
        finally:
            file.close()
            self._temporary.unlink(missing_ok=True)

    def _write(self, file: FileIO, pieces: list[bytes]) -> None:
        data = memoryview(b"".join(pieces))
        self._digest.update(data)
        while data:
            data = data[file.write(data) :]

    def _put(self) -> str:
        if self._expected is not None and self._digest.digest() != self._expected:
            raise StorageError(f"part {self._number} does not match its checksum")
        etag = self._digest.hexdigest()[:32]
        with _locked(self._folder / "key"):  # two writers of one part: the last one's is the part
            for path in self._folder.glob(f"{self._number:05d}.*"):
                if path.suffix != f".{etag}":
                    path.unlink(missing_ok=True)
            self._temporary.replace(self._folder / f"{self._number:05d}.{etag}")
        return f'"{etag}"'


def _parts(folder: Path) -> list[PartDone]:
    with os.scandir(folder) as entries:
        found = [
            PartDone(int(match[1]), f'"{match[2]}"', entry.stat().st_size)
            for entry in entries
            if (match := _PART.fullmatch(entry.name))
        ]
    return sorted(found, key=lambda part: part.part_number)


def _join(folder: Path, parts: list[CompletedPart], target: Path, expected: str) -> Staged:
    with _locked(folder / "key"):
        return _join_locked(folder, parts, target, expected)


def _join_locked(folder: Path, parts: list[CompletedPart], target: Path, expected: str) -> Staged:
    check_parts(_parts(folder), parts)
    digest, size = sha256(), 0
    with replacing(target) as file:
        for part in parts:
            with (folder / f"{part.part_number:05d}.{part.etag.strip(chr(34))}").open("rb") as source:
                while block := source.read(BLOCK):
                    digest.update(block)
                    file.write(block)
                    size += len(block)
        if not digest.hexdigest().startswith(expected):
            raise StorageError("the bytes that came are not the ones that were announced: their SHA-256 differs")
    (folder / "key").unlink()  # first, so that nobody sees an upload of which a part is missing
    shutil.rmtree(folder, ignore_errors=True)
    return Staged(digest.hexdigest(), size)


def _forget(folder: Path) -> None:
    with suppress(FileNotFoundError), _locked(folder / "key"):
        (folder / "key").unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _begun(uploads: Path) -> Iterator[Pending]:
    with os.scandir(uploads) as entries:
        for entry in entries:
            key = Path(entry.path) / "key"
            with suppress(FileNotFoundError):  # it has just ended, or is just beginning
                yield Pending(key.read_text(), entry.name, key.stat().st_mtime)


def _leftovers(root: Path, before: float) -> Iterator[Listed]:
    """What was to be renamed or deleted when a process ended: files beside objects, uploads without their key."""
    for folder, _, names in os.walk(root / "objects"):
        for name in names:
            path = Path(folder) / name
            if TEMPORARY.fullmatch(name) and (size := _unchanged(path, before)) is not None:
                yield Listed(str(path.relative_to(root)), size, before)
    with os.scandir(root / "uploads") as entries:
        for entry in entries:
            upload = Path(entry.path)
            if not (upload / "key").exists() and _unchanged(upload, before) is not None:
                size = sum(part.lstat().st_size for part in upload.glob("*"))
                yield Listed(f"uploads/{entry.name}", size, before)


def _unchanged(path: Path, before: float) -> int | None:
    """The size of what nobody has written, renamed or touched since a time; None for the others."""
    with suppress(FileNotFoundError):
        found = path.lstat()
        if max(found.st_mtime, found.st_ctime) < before:  # a rename leaves the one as it was, and renews the other
            return found.st_size
    return None


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an upload for this thread alone, among all processes; FileNotFoundError when it is gone."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        path.stat()  # it may have gone while we waited
        yield
