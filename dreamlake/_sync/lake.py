# Generated from dreamlake/_async/lake.py by scripts/unasync.py. Edit that file, then run it.
"""The client of one lake: each request of CONTRACT.md as a method."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import msgspec

from dreamlake._sync._runtime import Stream
from dreamlake._sync.connection import Body, Connection
from dreamlake.core.kinds import Kind
from dreamlake.core.parts import CompletedPart
from dreamlake.core.targets import DEFAULT_SPACE, Space
from dreamlake.core.wire import Success
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
from dreamlake.errors import ServerError

__all__ = ["Lake"]

GC_SECONDS = 24 * 3600.0  # a lake may have millions of objects, and says nothing while it looks at them


class Lake(Connection):
    """A lake as its clients see it."""

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
        namespace, name = self.whole(space)
        query = {"namespace": namespace, "space": name, "path": path}
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

    def whole(self, space: Space) -> tuple[str, str]:
        """A namespace and a space; your own, and ``default``, where they are not named."""
        return space.namespace or self.me().namespace, space.space or DEFAULT_SPACE

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
        return self.fetch(self._bss(f"/{kind.route}/{object_id}/raw"), start, size)

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

    def _bss(self, path: str) -> str:
        return self.address.bss_url + path
