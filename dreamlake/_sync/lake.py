# Generated from dreamlake/_async/lake.py by scripts/unasync.py. Edit that file, then run it.
"""The client of one lake: each request of CONTRACT.md as a method, tried again where that can help.

All of the lake's requests may be repeated without doing anything twice, so every failure that could pass is retried.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from dreamlake._sync._runtime import Stream, http_client, offload, read_body, received, sleep
from dreamlake.config import LakeAddress
from dreamlake.core.kinds import Kind
from dreamlake.core.parts import CompletedPart
from dreamlake.core.retry import RETRYABLE, Backoff, parse_retry_after
from dreamlake.core.targets import DEFAULT_SPACE, Space
from dreamlake.core.wire import Problem, Success
from dreamlake.core.wireassets import METAS, AssetMeta, VideoMeta
from dreamlake.core.wirecatalog import AssetCreated, AssetFound, AssetsCreated, CreateAssets, Created
from dreamlake.core.wirekeys import CreateKey, KeyMade, KeyPage, Me, RotateSigning, SigningRotated
from dreamlake.core.wireupkeep import GcReport, OrphansFound, Repaired
from dreamlake.core.wireuploads import (
    AskStatuses,
    BeginUploads,
    Begun,
    CompleteUpload,
    Finished,
    FinishUpload,
    FinishUploads,
    InitUpload,
    NewVersion,
    PartsDone,
    RegisterAsset,
    Registered,
    RunLambdas,
    SignedParts,
    SignParts,
    Status,
    Statuses,
    UploadsBegun,
    UploadsFinished,
    UploadStarted,
)
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

__all__ = ["Body", "Lake"]

T = TypeVar("T")

PIECE = 1024**2
WRITE_SECONDS = 60.0  # without one more byte going out
GC_SECONDS = 24 * 3600.0  # a lake may have millions of objects, and says nothing while it looks at them
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


class Lake:
    """A lake as its clients see it.

    Args:
        address: of the lake, embedded or not.
    """

    def __init__(self, address: LakeAddress) -> None:
        self.address = address
        self._answered = False

    # -- uploads -----------------------------------------------------------------------------------------------------

    def init_upload(self, kind: Kind, body: InitUpload) -> UploadStarted:
        """Begin a multipart upload."""
        return self._call("POST", self._bss(f"/{kind.route}/upload/multipart/init"), UploadStarted, body)

    def sign_parts(self, kind: Kind, body: SignParts) -> dict[str, str]:
        """The presigned URLs to PUT parts to, by their numbers."""
        url = self._bss(f"/{kind.route}/upload/multipart/parts")
        return self._call("POST", url, SignedParts, body).parts

    def put_part(self, url: str, body: Body, headers: Mapping[str, str], wait: float) -> str:
        """Send a part to its presigned URL; returns its etag.

        Args:
            url: presigned.
            body: the part.
            headers: that the URL was signed with.
            wait: seconds for the answer, when all of the part has been sent.
        """
        response = self.send("PUT", url, content=body, headers=headers, wait=wait)
        etag: str | None = response.headers.get("etag")
        if etag is None:
            raise ServerError(f"{self.address} took a part and gave no ETag for it")
        return etag

    def parts_done(self, kind: Kind, upload_id: str, key: str) -> PartsDone:
        """Which parts of an upload the storage has."""
        query = {"uploadId": upload_id, "key": key}
        return self._call("GET", self._bss(f"/{kind.route}/upload/multipart/parts-done"), PartsDone, query=query)

    def complete_upload(self, kind: Kind, upload_id: str, key: str, parts: list[CompletedPart], wait: float) -> None:
        """Join the parts; the answer may take ``wait`` seconds."""
        body = CompleteUpload(upload_id=upload_id, key=key, parts=parts)
        url = self._bss(f"/{kind.route}/upload/multipart/complete")
        self.send("POST", url, content=msgspec.json.encode(body), key=True, wait=wait)

    # -- assets ------------------------------------------------------------------------------------------------------

    def register(self, kind: Kind, body: RegisterAsset) -> tuple[Registered, bool]:
        """Make an asset of a staged file; also whether there was the same one already."""
        url = self._bss(f"/{kind.route}")
        response = self.send("POST", url, content=msgspec.json.encode(body), key=True)
        return self._decoded(response, Registered), response.status_code == 200

    def create_asset(self, kind: Kind, body: Mapping[str, Any]) -> AssetCreated:
        """Give an asset its name in the catalog."""
        return self._call("POST", f"{self.address.remote}/assets/{kind.name}", AssetCreated, body)

    def trigger(self, lambda_url: str) -> None:
        """Start the processing of an asset by its signed URL."""
        self.send("POST", lambda_url)

    def trigger_by_id(self, kind: Kind, object_id: str) -> None:
        """Start the processing of an asset again."""
        self._call("POST", self._bss(f"/lambdas/{kind.action}"), Registered, {kind.id_field: object_id})

    def asset(self, kind: Kind, object_id: str) -> AssetMeta:
        """The sidecar of an asset, of the type that its kind has (``METAS``)."""
        return self._call("GET", self._bss(f"/{kind.route}/{object_id}"), METAS[kind.name])

    def find(self, kind: Kind | None, space: Space, path: str) -> AssetFound:
        """The newest asset at a path.

        Args:
            kind: of the asset; None for any.
            space: where to look; your own namespace and the space ``default`` where it names none.
            path: absolute.

        Raises:
            NotFoundError: there is none.
        """
        namespace = space.namespace or self.me().namespace
        query = {"namespace": namespace, "space": space.space or DEFAULT_SPACE, "path": path}
        if space.episode is not None:
            query["episode"] = space.episode
        route = f"/assets/{kind.name}/download" if kind is not None else "/assets/download"
        return self._call("GET", f"{self.address.remote}{route}", AssetFound, query=query)

    def video(self, object_id: str) -> VideoMeta:
        """The sidecar of a video."""
        return self._call("GET", self._bss(f"/videos/{object_id}"), VideoMeta)

    def frame_index(self, object_id: str) -> bytes:
        """The frame index of a video, ``frames.npz``."""
        return self.send("GET", self._bss(f"/videos/{object_id}/frames.npz"), key=True).content

    def sample_index(self, kind: Kind, object_id: str) -> bytes:
        """The sample index of a recording, or of a video's sound, ``samples.npz``."""
        return self.send("GET", self._bss(f"/{kind.route}/{object_id}/samples.npz"), key=True).content

    def playlist(self, kind: Kind, object_id: str, stream: str) -> str:
        """The playlist of an asset, its chunks as signed URLs."""
        return self.send("GET", self._bss(f"/{kind.route}/{object_id}/stream/{stream}.m3u8"), key=True).text

    def new_version(self, kind: Kind, object_id: str, body: NewVersion) -> None:
        """Give a track other bytes, and have it processed again.

        Raises:
            LakeError: status 412 where it has others by now than those that were expected, 409 where it has several
                names, and must not change under one of them.
        """
        self._call("POST", self._bss(f"/{kind.route}/{object_id}/versions"), Registered, body)

    def delete_asset(self, kind: Kind, object_id: str) -> None:
        """Delete an asset of the storage service."""
        self.send("DELETE", self._bss(f"/{kind.route}/{object_id}"), key=True)

    def chunk(self, url: str) -> bytes:
        """The bytes behind a signed URL."""
        return self.send("GET", url).content

    def me(self) -> Me:
        """Who the lake takes us for."""
        return self._call("GET", f"{self.address.remote}/auth/me", Me)

    def create_key(self, body: CreateKey) -> KeyMade:
        """Make an API key; its text comes this once."""
        return self._call("POST", f"{self.address.remote}/keys", KeyMade, body)

    def keys(self, cursor: str | None = None) -> KeyPage:
        """The API keys that may be seen, a page of them."""
        query = {"cursor": cursor} if cursor else None
        return self._call("GET", f"{self.address.remote}/keys", KeyPage, query=query)

    def revoke_key(self, key_id: str) -> None:
        """End an API key."""
        self.send("DELETE", f"{self.address.remote}/keys/{quote(key_id, safe='')}", key=True)

    def orphans(self) -> OrphansFound:
        """Where the storage service and the catalog disagree."""
        return self._call("GET", f"{self.address.remote}/orphans", OrphansFound)

    def repair(self) -> Repaired:
        """Have them agree, some at a time."""
        return self._call("POST", f"{self.address.remote}/orphans/repair", Repaired)

    def clock(self) -> float:
        """What time it is at the lake, in seconds since the epoch and without a fraction.

        Raises:
            LakeUnreachableError: no answer.
        """
        response = self.send("GET", f"{self.address.bss_url}/healthz")
        said = response.headers.get("date")
        return parsedate_to_datetime(said).timestamp() if said else time.time()

    def rotate_signing(self, *, at_once: bool) -> SigningRotated:
        """Have presigned URLs signed with a new key."""
        return self._call("POST", f"{self.address.remote}/keys/signing", SigningRotated, RotateSigning(at_once=at_once))

    def read(self, kind: Kind, object_id: str, start: int, size: int) -> Stream[bytes]:
        """The original bytes of an asset from an offset on, some at a time; a connection that breaks is made anew.

        Args:
            kind: of the asset.
            object_id: its ObjectId.
            start: offset, bytes.
            size: of all of it, bytes.
        """
        import httpx

        client = self._client()
        headers = {"Accept-Encoding": "identity"}
        if self.address.api_key:
            headers["Authorization"] = f"Bearer {self.address.api_key}"
        url = self._bss(f"/{kind.route}/{object_id}/raw")
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

    # -- many at once ------------------------------------------------------------------------------------------------

    def begin_uploads(self, items: list[InitUpload]) -> list[Begun]:
        """Begin many uploads."""
        return self._call("POST", self._bss("/batch/begin"), UploadsBegun, BeginUploads(items)).items

    def finish_uploads(self, items: list[FinishUpload], wait: float) -> list[Finished]:
        """Complete and register many uploads; the answer may take ``wait`` seconds."""
        body = msgspec.json.encode(FinishUploads(items))
        response = self.send("POST", self._bss("/batch/finish"), content=body, key=True, wait=wait)
        return self._decoded(response, UploadsFinished).items

    def create_assets(self, items: list[dict[str, Any]]) -> list[Created]:
        """Give many assets their names in the catalog."""
        url = f"{self.address.remote}/batch/assets"
        return self._call("POST", url, AssetsCreated, CreateAssets(items)).items

    def run_lambdas(self, urls: list[str]) -> None:
        """Start the processing of many assets by their signed URLs."""
        self._call("POST", self._bss("/batch/lambdas"), Success, RunLambdas(urls))

    def statuses(self, ids: list[str]) -> list[Status]:
        """How far assets are; those that do not exist are left out."""
        return self._call("POST", self._bss("/batch/statuses"), Statuses, AskStatuses(ids)).items

    # -- the lake itself ---------------------------------------------------------------------------------------------

    def gc(self, *, dry_run: bool = False) -> GcReport:
        """Delete what nothing refers to and nobody has used for a day.

        Args:
            dry_run: only say what would go.

        Returns:
            What was deleted, or would have been.

        Raises:
            RequestError: another lake keeps its bytes in the same storage.
        """
        query = {"dryRun": "true" if dry_run else "false"}
        response = self.send("POST", self._bss("/gc"), query=query, key=True, wait=GC_SECONDS)
        return self._decoded(response, GcReport)

    # -- requests ----------------------------------------------------------------------------------------------------

    def _bss(self, path: str) -> str:
        return self.address.bss_url + path

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
    from dreamlake.server.inprocess import InProcessTransport

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
