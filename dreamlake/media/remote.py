"""Files of other machines, read by ranges of bytes over HTTP."""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dreamlake.core.ranges import BLOCK
from dreamlake.core.retry import RETRYABLE, Backoff, parse_retry_after
from dreamlake.errors import (
    AccessError,
    DreamlakeError,
    InvalidTargetError,
    MediaError,
    SourceError,
    SourceNotFoundError,
    SourceUnreachableError,
)
from dreamlake.media import s3
from dreamlake.media.files import LocalFile, MediaFile, Version
from dreamlake.media.ranges import RangeReader, blocks

if TYPE_CHECKING:
    import httpx  # slow to import, and not needed before the first request

__all__ = ["RemoteFile", "close_connections", "media_file"]

PATIENT = Backoff(attempts=5)
HASTY = Backoff(attempts=2, base=0.1)  # while the host has never answered, it is more likely wrong than busy
MOST_PREPARED = 16 * 1024**2  # bytes, a quarter of those that are kept
MAX_WHOLE = 32 * 1024**2
REFUSED = frozenset({"ExpiredToken", "InvalidToken"})  # S3 says so with 400
REDIRECTED_REGION = frozenset({301, 307, 400})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)", re.ASCII)
_S3_CODE = re.compile(r"<Code>(\w{1,64})</Code>")


def media_file(location: str) -> MediaFile:
    """The file at an absolute path, or at a URL with ``s3://``, ``https://`` or ``http://``."""
    return LocalFile(Path(location)) if location.startswith("/") else RemoteFile(location)


class RemoteFile(MediaFile):
    """A file that a server gives out by ranges, or whole when it is small.

    Args:
        location: ``s3://bucket/key``, ``https://`` or ``http://``.
    """

    gap = 256 * 1024
    remote = True

    def __init__(self, location: str) -> None:
        super().__init__()
        parts = urlsplit(location)
        try:
            _ = parts.port
        except ValueError as error:
            raise InvalidTargetError(f"{parts.hostname}: {error}") from error
        self._is_s3 = parts.scheme == "s3"
        # Queries sign, and names before the host log in: neither is shown.
        self._host = parts.netloc.rpartition("@")[2]  # that was asked last
        self.uri = location if self._is_s3 else f"{parts.scheme}://{self._host}{parts.path}"
        self.name = self.uri
        self._location = location
        self._has_login = "@" in parts.netloc
        self._region: str | None = None
        self._target: str | None = None  # where the location redirected to
        self._whole: bytes | None = None  # from a server that knows no ranges
        self._answered = False

    def look(self) -> Version:
        # The first block is wanted anyway, if the file was not met before.
        version, data = self._request(0, 1 if self._version else BLOCK)
        if len(data) == min(BLOCK, int(version[-1])):
            blocks.put_all((self._location, version), 0, data)
        return version

    @contextmanager
    def opened(self) -> Iterator[RangeReader]:
        version = self.version
        reader = RangeReader(self.read, int(version[-1]), (self._location, version))
        try:
            yield reader
        finally:
            if reader.failure is not None:
                # Whatever FFmpeg made of it comes from this.
                raise reader.failure

    def read(self, begin: int, end: int) -> bytes:
        pieces = []
        version = self.version
        while begin < end:
            if self._whole is not None:
                pieces.append(self._whole[begin:end])
                break
            found, data = self._request(begin, end)
            if found != version or not data:
                raise self.changed()
            pieces.append(data)
            begin += len(data)  # a server may give less than it was asked for
        return b"".join(pieces)

    def prepare(self, begin: int, end: int) -> None:
        key, size = (self._location, self.version), int(self.version[-1])
        last = min(end, size - 1, begin + MOST_PREPARED)
        missing = [number for number in range(begin // BLOCK, last // BLOCK + 1) if blocks.get((key, number)) is None]
        if missing:
            first = missing[0] * BLOCK
            blocks.put_all(key, first, self.read(first, min((missing[-1] + 1) * BLOCK, size)))

    def _request(self, begin: int, end: int) -> tuple[Version, bytes]:
        """One range and the version that it is of, asked for again where that can help."""
        failures = 0
        while True:
            try:
                return self._try(begin, end)
            except _Again as again:
                failures += 1
                backoff = PATIENT if self._answered else HASTY
                delay = backoff.delay(failures, random.random(), again.after)  # noqa: S311 (no secret)
                if delay is None:
                    raise again.failure from again.__cause__
            time.sleep(delay)

    def _try(self, begin: int, end: int) -> tuple[Version, bytes]:
        import httpx

        url = s3.sign(self._location, self._region) if self._is_s3 else self._target or self._location
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        try:
            with _connections().stream("GET", url, headers={"Range": f"bytes={begin}-{end - 1}"}) as response:
                self._answered = True
                if response.history and not self._is_s3 and not self._has_login:
                    self._target = str(response.url)
                # Some servers, rclone's S3 among them, give a part and call it 200.
                if response.status_code == 206 or (response.is_success and "content-range" in response.headers):
                    return self._part(response, begin, end)
                if response.status_code == 200:
                    return self._all(response, begin, end)
                response.read()
                raise self._refusal(response)
        except httpx.InvalidURL as error:
            raise InvalidTargetError(f"{self.name}: {error}") from error
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            hint = "" if self._answered else "; is the address right, and can it be reached from here?"
            raise _Again(SourceUnreachableError(f"{self.name}: no answer from {self._host}: {reason}{hint}")) from error
        except httpx.HTTPError as error:
            raise SourceUnreachableError(f"{self.name}: {self._host} answered with nonsense: {error}") from error

    def _part(self, response: httpx.Response, begin: int, end: int) -> tuple[Version, bytes]:
        given = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        encoding = response.headers.get("content-encoding", "identity")
        if given is None or int(given[1]) != begin or int(given[2]) >= end or encoding != "identity":
            raise SourceError(f"{self.name}: {self._host} does not give the bytes that it is asked for; {_REMEDY}")
        data = response.read()
        if len(data) != int(given[2]) + 1 - begin:
            raise _Again(SourceUnreachableError(f"{self.name}: {self._host} sent less than it said"))
        return _version(response, int(given[3])), data

    def _all(self, response: httpx.Response, begin: int, end: int) -> tuple[Version, bytes]:
        """From a server that knows no ranges."""
        size, data = int(response.headers.get("content-length", 0)), bytearray()
        if size <= MAX_WHOLE:
            for piece in response.iter_bytes():
                data += piece
                if len(data) > MAX_WHOLE:
                    break
        size = max(size, len(data))
        if size > MAX_WHOLE:
            raise SourceError(
                f"{self.name}: {self._host} gives out only the whole file, more than {MAX_WHOLE >> 20} MB; {_REMEDY}"
            )
        version = _version(response, size)
        if self._version in (None, version):
            self._whole = bytes(data)
        return version, bytes(data[begin:end])

    def _refusal(self, response: httpx.Response) -> Exception:
        """The error for an answer that says no, or the wish to ask again."""
        status, region = response.status_code, response.headers.get("x-amz-bucket-region")
        code = _S3_CODE.search(response.text) if self._is_s3 else None
        what = f"{status} {code[1]}" if code else f"{status} {response.reason_phrase}".rstrip()
        failure: DreamlakeError
        if status in (401, 403) or (code and code[1] in REFUSED):
            failure = AccessError(f"{self.name}: no access ({what}); {self._hint()}", status)
        elif status in (404, 410):
            failure = SourceNotFoundError(f"{self.name}: there is no such file ({what})")
        elif status == 416:
            failure = self.changed() if self._version else MediaError(f"{self.name}: is empty")
        else:
            failure = SourceUnreachableError(f"{self.name}: {self._host} answered {what}")
        if status in RETRYABLE:
            return _Again(failure, parse_retry_after(response.headers.get("retry-after"), time.time()))
        if self._is_s3 and region not in (None, self._region) and status in REDIRECTED_REGION:
            self._region = region
            return _Again(failure, 0.0)
        if self._target is not None and status < 500:
            self._target = None  # what it redirects to may be signed, and expire
            return _Again(failure, 0.0)
        return failure

    def _hint(self) -> str:
        if not self._is_s3:
            return "a signed URL may have expired"
        if not s3.has_credentials():
            return "no AWS credentials were found"
        return "the AWS credentials in use do not reach it, or there is no such object"


_REMEDY = "download it, or upload it to a lake"


class _Again(Exception):
    """What may succeed when it is tried again.

    Args:
        failure: to be raised when it does not.
        after: seconds to wait, as the server wants it.
    """

    def __init__(self, failure: DreamlakeError, after: float | None = None) -> None:
        super().__init__(failure)
        self.failure, self.after = failure, after


def _version(response: httpx.Response, size: int) -> Version:
    tag = response.headers.get("etag") or response.headers.get("last-modified") or ""
    return tag.removeprefix("W/"), size


# One set of connections for all files of a process.


def _connections() -> httpx.Client:
    global _client
    with _lock:
        if _client is None:
            _client = _connect()
        return _client


def _connect() -> httpx.Client:
    import httpx

    # Times out when nothing moves; a long range may take as long as it needs.
    timeout = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=None)
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=16)
    headers = {"Accept-Encoding": "identity", "User-Agent": "dreamlake"}
    return httpx.Client(timeout=timeout, limits=limits, headers=headers, follow_redirects=True)


def close_connections() -> None:
    """Close the connections; the next request opens new ones."""
    global _client
    with _lock:
        client, _client = _client, None
    if client is not None:
        client.close()


def _start_anew() -> None:
    """A forked process must not write into its parent's connections, nor close them."""
    global _client, _lock
    _lock = threading.Lock()
    _inherited.append(_client)
    _client = None


_lock = threading.Lock()
_client: httpx.Client | None = None
_inherited: list[httpx.Client | None] = []
os.register_at_fork(after_in_child=_start_anew)
