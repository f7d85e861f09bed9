# Generated from dreamlake/_async/connection.py by scripts/unasync.py. Edit that file, then run it.
"""Requests to one lake, tried again where that can help, and their answers.

All of the lake's requests may be repeated without doing anything twice, so every failure that could pass is retried.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from dreamlake._sync._runtime import Stream, http_client, offload, read_body, received, sleep
from dreamlake.config import LakeAddress
from dreamlake.core.retry import RETRYABLE, Backoff, parse_retry_after
from dreamlake.core.wire import Problem
from dreamlake.errors import (
    AccessError,
    ConfigError,
    LakeError,
    LakeUnreachableError,
    MissingExtraError,
    NotFoundError,
    RequestError,
    ServerError,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["Body", "Connection"]

T = TypeVar("T")

PIECE = 1024**2
WRITE_SECONDS = 60.0  # without one more byte going out
PATIENT = Backoff(attempts=6)
HASTY = Backoff(attempts=2, base=0.1)  # while the lake has never answered, it is more likely wrong than busy


@dataclass(frozen=True)
class Body:
    """A body that is sent piece by piece, and from its beginning when it is sent again.

    Attributes:
        size: bytes.
        pieces: called for each try.
    """

    size: int
    pieces: Callable[[], Stream[bytes]]

    def opened(self) -> closing[Stream[bytes]]:
        """The pieces, for one try: a request that is broken off leaves them in the midst of a file."""
        return closing(self.pieces())


class Connection:
    """What reaches a lake.

    Args:
        address: of the lake, embedded or not.
    """

    def __init__(self, address: LakeAddress) -> None:
        self.address = address
        self._answered = False

    def send(
        self,
        method: str,
        url: str,
        *,
        content: bytes | Body | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        key: bool = False,
        wait: float | None = None,
    ) -> httpx.Response:
        """Send one request, again if need be, and return its answer.

        Args:
            method: of HTTP.
            url: absolute.
            content: the body.
            query: parameters of the URL.
            headers: that go with it.
            key: whether the API key goes with it. Presigned URLs may lead to other hosts, which must not see it.
            wait: seconds for the answer, where the usual are too few or too many.

        Raises:
            LakeUnreachableError: no answer.
            LakeError: an answer that says no.
        """
        import httpx

        client = self._client()
        sent = dict(headers or {})
        if key and self.address.api_key:
            sent["Authorization"] = f"Bearer {self.address.api_key}"
        if isinstance(content, Body):
            sent["Content-Length"] = str(content.size)
        elif content is not None:
            sent.setdefault("Content-Type", "application/json")
        timeout = client.timeout
        if wait is not None:
            stalled = min(wait, WRITE_SECONDS)
            timeout = httpx.Timeout(**{**timeout.as_dict(), "read": wait, "write": stalled})
        failures = 0
        while True:
            try:
                with content.opened() if isinstance(content, Body) else nullcontext(content) as body:
                    response = client.request(method, url, content=body, params=query, headers=sent, timeout=timeout)
            except (httpx.TooManyRedirects, httpx.DecodingError, httpx.InvalidURL) as error:
                raise ServerError(f"{self.address} answered with nonsense: {error}") from error
            except httpx.TransportError as error:
                failure: Exception = self._unreachable(error)
                retry_after, retryable = None, True
            else:
                self._answered = True
                if response.is_success:
                    return response
                failure = _refusal(response)
                retry_after = parse_retry_after(response.headers.get("retry-after"), time.time())
                retryable = response.status_code in RETRYABLE
            failures += 1
            backoff = PATIENT if self._answered else HASTY
            delay = backoff.delay(failures, random.random(), retry_after) if retryable else None  # noqa: S311 (no secret)
            if delay is None:
                raise failure
            sleep(delay)

    def fetch(self, url: str, start: int, size: int) -> Stream[bytes]:
        """The bytes at a URL of the lake from an offset on, some at a time; a connection that breaks is made anew.

        Args:
            url: absolute.
            start: offset, bytes.
            size: of all of it, bytes.
        """
        import httpx

        client = self._client()
        headers = {"Accept-Encoding": "identity"}
        if self.address.api_key:
            headers["Authorization"] = f"Bearer {self.address.api_key}"
        failures = 0
        while start < size:
            headers["Range"] = f"bytes={start}-"
            failure: Exception = ServerError(f"{self.address} gave fewer bytes than there are")
            retry_after, retryable = None, True
            try:
                with client.stream("GET", url, headers=headers) as response:
                    if response.status_code in (200, 206):
                        known = start if response.status_code == 200 else 0  # there are stores that give it all
                        for piece in received(response, PIECE):
                            if fresh := piece[known:]:
                                start += len(fresh)
                                failures = 0
                                yield fresh
                            known = max(0, known - len(piece))
                    else:
                        read_body(response)
                        failure = _refusal(response)
                        retry_after = parse_retry_after(response.headers.get("retry-after"), time.time())
                        retryable = response.status_code in RETRYABLE
            except httpx.TransportError as error:
                failure = self._unreachable(error)
            if start < size:
                failures += 1
                delay = PATIENT.delay(failures, random.random(), retry_after) if retryable else None  # noqa: S311 (no secret)
                if delay is None:
                    raise failure
                sleep(delay)

    def _call(
        self, method: str, url: str, answer: type[T], body: Any = None, query: Mapping[str, str] | None = None
    ) -> T:
        content = None if body is None else msgspec.json.encode(body)
        return self._decoded(self.send(method, url, content=content, query=query, key=True), answer)

    def _decoded(self, response: httpx.Response, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.MsgspecError as error:
            raise ServerError(f"{self.address} answered what this client does not understand: {error}") from error

    def _unreachable(self, error: httpx.TransportError) -> LakeUnreachableError:
        refused = type(error).__name__ == "ConnectError"
        hint = "is `dreamlake serve` running there?" if refused else str(error) or type(error).__name__
        failure = LakeUnreachableError(f"no answer from {self.address}: {hint}")
        failure.__cause__ = error
        return failure

    def _client(self) -> httpx.Client:
        data = self.address.data
        if data is None:
            return http_client(self.address, _connection)
        try:
            from dreamlake.server import embedded
        except ModuleNotFoundError as error:
            raise MissingExtraError("lake", f"the embedded lake ({error.name})") from error
        try:
            app = offload(partial(embedded.open_lake, data, self.address.storage, self.address.database))
        except MissingExtraError:
            raise
        except Exception as error:
            raise ConfigError(f"{self.address} cannot be opened: {error}") from error
        # A lake that was closed and opened again is another application.
        return http_client((self.address, id(app)), partial(_inside, app))


def _connection(mounts: Any = None) -> httpx.Client:
    import httpx

    # Reading and writing time out when nothing moves; a large part may take as long as it needs.
    timeout = httpx.Timeout(connect=10.0, read=60.0, write=WRITE_SECONDS, pool=None)
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=16)
    return httpx.Client(timeout=timeout, limits=limits, mounts=mounts, follow_redirects=True)


def _inside(app: Any) -> httpx.Client:
    from dreamlake.config import EMBEDDED_URL
    from dreamlake.server.transport import InProcessTransport

    # Only the lake itself is in this process; what it keeps elsewhere is reached as from anywhere.
    client = _connection({EMBEDDED_URL: InProcessTransport(app)})
    client.headers["Accept-Encoding"] = "identity"  # nothing is gained by packing what does not travel
    return client


_REFUSALS: dict[int, Callable[[str, int], LakeError]] = {
    400: RequestError,
    401: AccessError,
    402: AccessError,
    403: AccessError,
    404: NotFoundError,
    409: RequestError,
    413: RequestError,
    422: RequestError,
}


def _refusal(response: httpx.Response) -> LakeError:
    try:
        detail = msgspec.json.decode(response.content, type=Problem).detail
    except msgspec.MsgspecError:
        detail = f"{response.request.method} {response.request.url.path}: {response.status_code}"
    refusal = _REFUSALS.get(response.status_code, ServerError if response.status_code >= 500 else LakeError)
    return refusal(detail, response.status_code)
