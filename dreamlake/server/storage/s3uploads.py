"""Uploads into a lake in S3: clients PUT parts straight to the store, to URLs that the lake has signed.

Stores differ in what they do with a part whose bytes are not those that its URL was signed for. MinIO and its kin
refuse it when the SHA-256 is the payload hash of the signature, AWS also when it is a signed checksum header, and some
look at neither. So the store is asked once, with a few bytes below ``.probe/``.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import re
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Literal
from weakref import WeakValueDictionary

import httpx
from anyio import to_thread

from dreamlake.core.parts import MAX_PARTS, CompletedPart
from dreamlake.core.wireuploads import PartDone
from dreamlake.server.storage.base import (
    Pending,
    Staged,
    StorageDown,
    StorageError,
    check_parts,
    unknown_upload,
)
from dreamlake.server.storage.s3client import S3Refusal
from dreamlake.server.storage.s3objects import S3Objects, noted_digest

__all__ = ["S3Uploads"]

PUT = "put"  # the upload id of what needs no multipart upload
Check = Literal["content", "checksum", "none"]
_UPLOAD_ID = re.compile(r"(?!\.|.*\.\.)[A-Za-z0-9+/=._~-]{1,1024}")


class S3Uploads(S3Objects):
    """The objects, and multipart uploads into them."""

    def __init__(self, location: str, scratch: Path) -> None:
        super().__init__(location, scratch)
        self._probing = asyncio.Lock()
        self._check_found: Check | None = None
        self._completing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def checks_parts(self) -> bool:
        return await self._check_mode() != "none"

    async def begin_upload(self, key: str, *, one_part: bool = False) -> str:
        name, mode = self._name(key), await self._check_mode()
        if one_part and mode != "none":
            return PUT
        return await self._begin(name, mode)

    async def sign_part(self, upload_id: str, key: str, number: int, sha256: bytes | None) -> str | None:
        if not 1 <= number <= MAX_PARTS:
            raise StorageError(f"parts have numbers from 1 to {MAX_PARTS}, not {number}")
        return await self._sign_with(await self._check_mode(), self._target(upload_id, key, number), sha256)

    async def write_part(
        self, upload_id: str, key: str, number: int, body: AsyncIterator[bytes], sha256: bytes | None
    ) -> str:
        target = self._target(upload_id, key, number)
        with await to_thread.run_sync(lambda: tempfile.TemporaryFile(dir=self._scratch)) as file:
            digest = await _spool(body, file)
            if sha256 is not None and digest != sha256:
                raise StorageError(f"part {number} does not match its checksum")
            if await self._check_mode() == "checksum":
                target["ChecksumSHA256"] = base64.b64encode(digest).decode()
            operation = "upload_part" if "UploadId" in target else "put_object"
            etag: str = (await self._call(operation, **target, Body=file))["ETag"]
        return etag

    async def list_parts(self, upload_id: str, key: str) -> list[PartDone]:
        return [PartDone(part["PartNumber"], part["ETag"], part["Size"]) for part in await self._parts(upload_id, key)]

    async def complete_upload(self, upload_id: str, key: str, parts: Sequence[CompletedPart], digest: str) -> Staged:
        # One gateway leaves an empty object when one upload is completed twice at once.
        async with self._completing.setdefault(upload_id, asyncio.Lock()):
            return await self._complete(upload_id, key, parts, digest)

    async def _complete(self, upload_id: str, key: str, parts: Sequence[CompletedPart], digest: str) -> Staged:
        there = await self._parts(upload_id, key)
        check_parts([PartDone(part["PartNumber"], part["ETag"], part["Size"]) for part in there], parts)
        if not there:
            raise StorageError("an upload has one part at least")
        if upload_id == PUT:
            return Staged(_checked(noted_digest(there[0]), digest), there[0]["Size"])
        listed = [
            {name: part[name] for name in ("PartNumber", "ETag", "ChecksumSHA256") if name in part} for part in there
        ]
        target = {"Key": self._name(key), "UploadId": upload_id}
        try:
            await self._call("complete_multipart_upload", **target, MultipartUpload={"Parts": listed})
        except (S3Refusal, StorageDown) as error:
            await self._parts(
                upload_id, key
            )  # somebody else may have completed it since: then it is not known any more
            if isinstance(error, S3Refusal) and error.errno != errno.EACCES:
                raise StorageError(str(error.strerror)) from error  # such as parts below the store's least size
            raise
        expected, size = sum(part["Size"] for part in there), await self.size(key)
        if size != expected:
            raise OSError(errno.EIO, f"{self._where.short}: the store joined {expected} bytes, and has {size} of them")
        return Staged(None, expected)

    async def abort_upload(self, upload_id: str, key: str) -> None:
        if upload_id != PUT:
            await self._parts(upload_id, key)  # not all stores say that they do not know it
            await self._call("abort_multipart_upload", Key=self._name(key), UploadId=upload_id)

    async def list_uploads(self) -> AsyncIterator[Pending]:
        more: dict[str, str] = {}
        while True:
            page = await self._call("list_multipart_uploads", Prefix=self._where.prefix, MaxUploads=self.page, **more)
            for upload in page.get("Uploads", []):
                if upload["Key"].startswith(self._where.prefix):
                    key = upload["Key"].removeprefix(self._where.prefix)
                    yield Pending(key, upload["UploadId"], upload["Initiated"].timestamp())
            if not page.get("IsTruncated"):
                return
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page.get("NextUploadIdMarker", "")}

    def _target(self, upload_id: str, key: str, number: int) -> dict[str, Any]:
        """Where a part goes to, for botocore."""
        if upload_id == PUT:
            if number != 1:
                raise StorageError("this upload has one part")
            return {"Key": self._name(key)}
        if not _UPLOAD_ID.fullmatch(upload_id):
            raise unknown_upload()
        return {"Key": self._name(key), "UploadId": upload_id, "PartNumber": number}

    async def _parts(self, upload_id: str, key: str) -> list[dict[str, Any]]:
        """The parts as the store lists them, all pages. Raises UnknownUploadError."""
        if upload_id == PUT:
            with suppress(FileNotFoundError):
                head = await self._head(key)
                return [{**head, "PartNumber": 1, "Size": head["ContentLength"]}]
            return []
        if not _UPLOAD_ID.fullmatch(upload_id):
            raise unknown_upload()
        found: list[dict[str, Any]] = []
        target = {"Key": self._name(key), "UploadId": upload_id}
        more: dict[str, Any] = {}
        while True:
            try:
                page = await self._call("list_parts", **target, MaxParts=self.page, **more)
            except FileNotFoundError:
                raise unknown_upload() from None
            found += page.get("Parts", [])
            if not page.get("IsTruncated"):
                return found
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    async def _begin(self, name: str, mode: Check) -> str:
        checksum = {"ChecksumAlgorithm": "SHA256"} if mode == "checksum" else {}
        upload_id: str = (await self._call("create_multipart_upload", Key=name, **checksum))["UploadId"]
        return upload_id

    async def _sign_with(self, mode: Check, target: dict[str, Any], digest: bytes | None) -> str:
        if digest is not None and mode == "content":
            query = {"partNumber": target["PartNumber"], "uploadId": target["UploadId"]} if "UploadId" in target else {}
            return await self._sign_put(target["Key"], query, digest.hex())
        if digest is not None and mode == "checksum":
            target = {**target, "ChecksumSHA256": base64.b64encode(digest).decode()}
        return await self._sign("upload_part" if "UploadId" in target else "put_object", target)

    # -- what the store checks ---------------------------------------------------------------------------------------

    async def _check_mode(self) -> Check:
        """How a URL is bound to the bytes it is for; found out when it is first needed."""
        async with self._probing:
            if self._check_found is None:
                if await self._refuses_wrong_bytes("content"):
                    self._check_found = "content"
                else:
                    self._check_found = "checksum" if await self._refuses_wrong_bytes("checksum") else "none"
            return self._check_found

    async def _refuses_wrong_bytes(self, mode: Check) -> bool:
        """Whether right bytes are taken and wrong ones refused, for a whole object and for a part."""
        name = f"{self._where.prefix}.probe/{secrets.token_hex(8)}"
        right, wrong = b"right", b"wrong"
        digest = sha256(right).digest()
        headers = {"x-amz-checksum-sha256": base64.b64encode(digest).decode()} if mode == "checksum" else {}
        try:
            whole = await self._sign_with(mode, {"Key": name}, digest)
            if not await _takes(whole, right, headers) or await _takes(whole, wrong, headers):
                return False
            upload_id = await self._begin(name, mode)
            try:
                target = {"Key": name, "UploadId": upload_id, "PartNumber": 1}
                part = await self._sign_with(mode, target, digest)
                return not await _takes(part, wrong, headers) and await _takes(part, right, headers)
            finally:
                await self._call("abort_multipart_upload", Key=name, UploadId=upload_id)
        finally:
            with suppress(FileNotFoundError):
                await self._call("delete_object", Key=name)


async def _takes(url: str, data: bytes, headers: dict[str, str]) -> bool:
    """Whether the store takes these bytes to a signed URL.

    Raises:
        StorageDown: it does not answer, or fails: that says nothing.
    """
    try:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.put(url, content=data, headers=headers)
    except httpx.TransportError as error:
        raise StorageDown(errno.EIO, f"the store does not answer: {error or type(error).__name__}") from error
    if answer.status_code in (500, 502, 503, 504):
        raise StorageDown(errno.EIO, f"the store answered {answer.status_code}")
    return answer.is_success


async def _spool(body: AsyncIterator[bytes], file: IO[bytes]) -> bytes:
    """Write a body into a file, and rewind it; returns its SHA-256."""
    digest = sha256()
    async for piece in body:
        digest.update(piece)
        await to_thread.run_sync(file.write, piece)
    await to_thread.run_sync(file.seek, 0)
    return digest.digest()


def _checked(found: str | None, expected: str) -> str | None:
    if found is not None and not found.startswith(expected):
        raise StorageError("the bytes that came are not the ones that were announced: their SHA-256 differs")
    return found
