"""Objects of a lake in S3."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import to_thread

from dreamlake.core.parts import part_size_for, plan_parts
from dreamlake.server.storage.base import Listed, StorageDown
from dreamlake.server.storage.s3client import Bucket, S3Refusal, failures
from dreamlake.server.taskpool import TaskPool, run_all

__all__ = ["S3Objects"]

BLOCK = 1024 * 1024
PIECE = 16 * BLOCK  # of a file that is sent or fetched in several requests at once
AT_ONCE = 4
TRIES = 3  # to fetch a range whose connection breaks
COPY_LIMIT = 5 * 1024**3  # S3 copies no more in one request
COPY_PART = 512 * BLOCK
_SHA256 = re.compile(r"[0-9a-f]{64}")


class S3Objects(Bucket):
    """The objects."""

    _copies_renew = True  # until it turns out that they do not

    async def size(self, key: str) -> int | None:
        try:
            return int((await self._head(key))["ContentLength"])
        except FileNotFoundError:
            return None

    async def digest(self, key: str) -> str | None:
        try:
            head = await self._head(key)
            if (known := noted_digest(head)) is not None:
                return known
            digest = sha256()
            async for block in self.stream(key, 0, head["ContentLength"]):
                digest.update(block)
            return digest.hexdigest()
        except FileNotFoundError:
            return None

    async def read(self, key: str) -> bytes:
        answer = await self._call("get_object", Key=self._name(key))
        with failures(self._where.short):
            async with answer["Body"] as body:
                data: bytes = await body.read()
        return data

    async def read_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await run_all([partial(self._read_if_there, key) for key in keys])

    async def _read_if_there(self, key: str) -> bytes | None:
        try:
            return await self.read(key)
        except FileNotFoundError:
            return None

    async def stream(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        etag, failed = None, 0
        while start < stop:
            same: dict[str, str] = {} if etag is None else {"IfMatch": etag}
            try:
                answer = await self._call("get_object", Key=self._name(key), Range=f"bytes={start}-{stop - 1}", **same)
                etag = answer["ETag"]
                async with answer["Body"] as body:
                    while start < stop:
                        with failures(self._where.short):
                            piece: bytes = await body.read(BLOCK)
                        if not piece:
                            return  # the object is shorter than that
                        yield piece
                        start += len(piece)
                        failed = 0
            except StorageDown:
                failed += 1  # without a byte in between
                if failed == TRIES:
                    raise

    async def write(self, key: str, data: bytes) -> None:
        noted = {"sha256": sha256(data).hexdigest()}
        await self._call("put_object", Key=self._name(key), Body=data, Metadata=noted)

    async def write_file(self, key: str, path: Path, sha256: str | None = None) -> None:
        name, noted = self._name(key), {"sha256": sha256} if sha256 else {}
        size = (await to_thread.run_sync(path.stat)).st_size
        if size <= PIECE:
            body = await to_thread.run_sync(path.read_bytes)
            await self._call("put_object", Key=name, Body=body, Metadata=noted)
        else:
            await self._write_parts(name, path, size, noted)
        await to_thread.run_sync(partial(path.unlink, missing_ok=True))

    async def move(self, source: str, target: str) -> None:
        head = await self._head(source)
        if not await self._copy(self._name(source), self._name(target), head):
            await self._carry(source, target, head)
        await self.delete(source)

    async def touch(self, key: str) -> bool:
        name = self._name(key)
        try:
            head = await self._head(key)
            asked = parsedate_to_datetime(head["ResponseMetadata"]["HTTPHeaders"]["date"])
            if self._copies_renew and await self._copy(name, name, head):
                # Some stores take a copy of an object onto itself, and leave it as old as it was.
                modified = await self._modified(name)
                self._copies_renew = modified is None or modified >= asked.timestamp()
                if self._copies_renew and modified is not None:
                    return True
            await self._carry(key, key, head)
        except FileNotFoundError:
            return False
        return True

    async def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            await self._call("delete_object", Key=self._name(key))

    async def delete_if_older(self, key: str, before: float) -> bool:
        modified = await self._modified(self._name(key))
        # AWS says whole seconds, and S3 knows no condition on them: whoever sweeps leaves a margin of hours.
        if modified is None or modified + 1 > before:
            return False
        await self.delete(key)
        return True

    async def list_objects(self, prefix: str) -> AsyncIterator[Listed]:
        more: dict[str, str] = {}
        while True:
            page = await self._call("list_objects_v2", Prefix=self._where.prefix + prefix, MaxKeys=self.page, **more)
            for item in page.get("Contents", []):
                key = item["Key"].removeprefix(self._where.prefix)
                yield Listed(key, item["Size"], item["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def sweep(self, before: float, *, dry_run: bool = False) -> AsyncIterator[Listed]:
        async for probe in self.list_objects(".probe/"):
            if probe.modified < before:
                if not dry_run:
                    await self.delete(probe.key)
                yield probe

    @asynccontextmanager
    async def local_file(self, key: str) -> AsyncIterator[Path]:
        with _download(self._scratch) as (path, handle):
            etag, size = await self._fetch_first(key, handle)
            async with TaskPool(AT_ONCE) as pool:
                for start in range(PIECE, size, PIECE):
                    await pool.start(partial(self._fetch, key, etag, handle, start, min(start + PIECE, size)))
            yield path

    async def sign_get(self, key: str, media_type: str, filename: str | None = None) -> str | None:
        said = {"Key": self._name(key), "ResponseContentType": media_type}
        if filename is not None:  # RFC 6266, 4.3
            said["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        return await self._sign("get_object", said)

    async def _head(self, key: str) -> dict[str, Any]:
        return await self._call("head_object", Key=self._name(key), ChecksumMode="ENABLED")

    async def _modified(self, name: str) -> float | None:
        """When an object was written, as listings say it: of a name and what it begins, the name comes first."""
        page = await self._call("list_objects_v2", Prefix=name, MaxKeys=1)
        return next(
            (item["LastModified"].timestamp() for item in page.get("Contents", []) if item["Key"] == name), None
        )

    async def _fetch_first(self, key: str, handle: int) -> tuple[str, int]:
        """Put the first piece of an object into a file; most have no other. Returns its etag, and the whole's size."""
        try:
            answer = await self._call("get_object", Key=self._name(key), Range=f"bytes=0-{PIECE - 1}")
        except S3Refusal as error:
            if error.code == "InvalidRange":  # of what has no bytes, there is no first one
                head = await self._head(key)
                if head["ContentLength"] == 0:
                    return head["ETag"], 0
            raise
        size = int(answer["ContentRange"].rpartition("/")[2])
        try:
            with failures(self._where.short):
                async with answer["Body"] as body:
                    data: bytes = await body.read()
            await to_thread.run_sync(os.pwrite, handle, data, 0)
            broken = len(data) != min(PIECE, size)
        except StorageDown:
            broken = True
        if broken:
            await self._fetch(key, answer["ETag"], handle, 0, min(PIECE, size))
        return answer["ETag"], size

    async def _fetch(self, key: str, etag: str, handle: int, start: int, stop: int) -> None:
        """Put a range of an object into a file."""
        for tried in range(1, TRIES + 1):
            asked = f"bytes={start}-{stop - 1}"
            try:
                answer = await self._call("get_object", Key=self._name(key), Range=asked, IfMatch=etag)
                with failures(self._where.short):
                    async with answer["Body"] as body:
                        data: bytes = await body.read()
                if len(data) != stop - start:
                    raise StorageDown(f"{self._where.short} gave {len(data)} bytes of {key} for {asked}")
                await to_thread.run_sync(os.pwrite, handle, data, start)
                return
            except StorageDown:
                if tried == TRIES:
                    raise

    async def _write_parts(self, name: str, path: Path, size: int, noted: dict[str, str]) -> None:
        upload_id = (await self._call("create_multipart_upload", Key=name, Metadata=noted))["UploadId"]
        upload = {"Key": name, "UploadId": upload_id}
        etags: dict[int, str] = {}

        async def send(file: int, number: int, offset: int, length: int) -> None:
            data = await to_thread.run_sync(os.pread, file, length, offset)
            etags[number] = (await self._call("upload_part", **upload, PartNumber=number, Body=data))["ETag"]

        async with self._abandoning(upload):
            with path.open("rb") as file:
                async with TaskPool(AT_ONCE) as pool:
                    for part in plan_parts(size, max(PIECE, part_size_for(size))):
                        await pool.start(partial(send, file.fileno(), part.number, part.offset, part.size))
            await self._join(upload, etags)

    async def _carry(self, source: str, target: str, head: dict[str, Any]) -> None:
        """Copy an object by way of this machine, where the store cannot."""
        async with self.local_file(source) as path:
            await self.write_file(target, path, noted_digest(head))

    async def _copy(self, source: str, target: str, head: dict[str, Any]) -> bool:
        """Have the store copy an object, onto another or itself; what we have noted of it goes along.

        Returns:
            Whether it has; some stores do not know how to copy in parts.
        """
        digest = noted_digest(head)
        noted = {"sha256": digest} if digest else {}
        origin = {"CopySource": {"Bucket": self._where.bucket, "Key": source}, "CopySourceIfMatch": head["ETag"]}
        size = head["ContentLength"]
        if size <= COPY_LIMIT:
            await self._call("copy_object", Key=target, **origin, Metadata=noted, MetadataDirective="REPLACE")
            return True
        upload_id = (await self._call("create_multipart_upload", Key=target, Metadata=noted))["UploadId"]
        upload = {"Key": target, "UploadId": upload_id}
        etags: dict[int, str] = {}

        async def copy(number: int, offset: int, length: int) -> None:
            asked = f"bytes={offset}-{offset + length - 1}"
            answer = await self._call("upload_part_copy", **upload, **origin, PartNumber=number, CopySourceRange=asked)
            if etag := answer.get("CopyPartResult", {}).get("ETag"):
                etags[number] = etag  # without one, the store has taken it for an upload of nothing

        parts = plan_parts(size, COPY_PART)
        async with self._abandoning(upload):
            async with TaskPool(AT_ONCE) as pool:
                for part in parts:
                    await pool.start(partial(copy, part.number, part.offset, part.size))
            if len(etags) == len(parts):
                await self._join(upload, etags)
                return True
        await self._call("abort_multipart_upload", **upload)
        return False

    async def _join(self, upload: dict[str, str], etags: dict[int, str]) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(etags.items())]
        await self._call("complete_multipart_upload", **upload, MultipartUpload={"Parts": parts})

    @asynccontextmanager
    async def _abandoning(self, upload: dict[str, str]) -> AsyncIterator[None]:
        """Forget an upload of our own that fails."""
        try:
            yield
        except BaseException:
            with suppress(Exception):  # what failed is the error to raise
                await asyncio.shield(self._call("abort_multipart_upload", **upload))
            raise


def noted_digest(head: dict[str, Any]) -> str | None:
    """The SHA-256 in hex that the head of an object says: we have noted it, or the store has checked it."""
    noted = {name.lower(): value for name, value in head.get("Metadata", {}).items()}.get("sha256", "")
    if _SHA256.fullmatch(noted):
        return str(noted)
    checked = head.get("ChecksumSHA256", "")
    whole = head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT" and "-" not in checked
    return base64.b64decode(checked).hex() if checked and whole else None


@contextmanager
def _download(scratch: Path) -> Iterator[tuple[Path, int]]:
    """An empty file that lives as long as the block; what processes that were killed have left is removed.

    A lock tells one that is in use, and the system gives it back whatever ends its process.
    """
    for left in scratch.glob("download-*"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
    while True:
        path = scratch / f"download-{secrets.token_hex(8)}"
        with path.open("xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                continue  # taken for one that was left, just before it was locked
            try:
                yield path, file.fileno()
            finally:
                path.unlink(missing_ok=True)
            return
