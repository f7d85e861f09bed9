"""What goes over the wire while files become assets of the storage service, one at a time or many."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dreamlake.core.parts import MAX_PARTS, CompletedPart
from dreamlake.core.wire import MAX_BATCH, AssetStatus, ObjectId, Problem, Size, Slug, Text

__all__ = [
    "AskStatuses", "BeginUploads", "Begun", "CompleteUpload", "FinishUpload", "FinishUploads", "Finished",
    "InitUpload", "NewVersion", "PartDone", "PartsDone", "RegisterAsset", "Registered", "RunLambdas", "SignParts",
    "SignedParts", "Status", "Statuses", "UploadStarted", "UploadTarget", "UploadsBegun", "UploadsFinished",
]  # fmt: skip

Hash16 = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)", description="the first 16 hex digits of the SHA-256")]
StagedHash = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{16}([0-9a-f]{48})?$(?!\n)", description="the name it is staged under: 16 or 64 hex digits"
    ),
]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="the full SHA-256, 64 hex digits")]
PartNumber = Annotated[int, Meta(ge=1, le=MAX_PARTS)]


class InitUpload(Struct, rename="camel"):
    """Begin a multipart upload.

    ``checksums`` maps part numbers to base64 SHA-256 digests: the URLs of these parts come with the answer. With it,
    even empty, the caller promises a checksum for every part, and the lake need not read the bytes of ``sha256`` back.
    """

    owner: Slug
    project: Slug
    hash: Hash16
    content_type: str = "application/octet-stream"
    sha256: Sha256 | None = None
    size: Size | None = None
    part_size: Size | None = None
    checksums: Annotated[dict[str, str], Meta(max_length=1000)] | None = None


class UploadStarted(Struct, rename="camel"):
    """Where to send the parts; with ``exists`` the same bytes are already staged and nothing need be sent.

    ``parts`` are presigned URLs for the parts whose checksums came with the request.
    """

    upload_id: str
    key: str
    exists: bool = False
    parts: dict[str, str] = {}


class UploadTarget(Struct, rename="camel"):
    """An upload in progress."""

    upload_id: Text
    key: Text


class SignParts(UploadTarget, rename="camel", kw_only=True):
    """Ask for presigned URLs; ``checksums`` maps part numbers to base64 SHA-256 digests that the PUT must match."""

    part_numbers: Annotated[list[PartNumber], Meta(max_length=1000)]
    checksums: dict[str, str] | None = None


class SignedParts(Struct, rename="camel"):
    """Part number to the presigned URL to PUT it to."""

    parts: dict[str, str]


class PartDone(Struct, rename="camel"):
    """A part that the storage has; the size in bytes."""

    part_number: int
    etag: str
    size: int


class PartsDone(Struct, rename="camel"):
    """Which parts the storage has; ``expired`` when it no longer knows the upload."""

    expired: bool
    parts: list[PartDone]


class CompleteUpload(UploadTarget, rename="camel", kw_only=True):
    """Join the parts into the staged file."""

    parts: Annotated[list[CompletedPart], Meta(min_length=1, max_length=MAX_PARTS)]


class RegisterAsset(Struct, rename="camel"):
    """Make an asset of a staged file."""

    name: Text
    owner: Slug
    project: Slug
    staging_hash: StagedHash
    episode_id: str | None = None
    format: Literal["vtt", "srt", "jsonl", "csv"] | None = None
    file_size: Size | None = None
    skip_bad_lines: bool = False


class Registered(Struct, rename="camel"):
    """The asset's ObjectId and how far it is."""

    id: str
    status: AssetStatus


class NewVersion(Struct, rename="camel"):
    """Give a track other bytes, unless it has others by now than those that they were made of.

    ``expected`` is the SHA-256 of these.
    """

    staging_hash: StagedHash
    expected: Sha256


# -- many at once: what the routes for one do, in one request and one transaction ----------------------------------


class BeginUploads(Struct, rename="camel"):
    """Begin many uploads."""

    items: Annotated[list[InitUpload], Meta(max_length=MAX_BATCH)]


class Begun(Struct, rename="camel"):
    """One that was begun, or why not."""

    started: UploadStarted | None = None
    problem: Problem | None = None


class UploadsBegun(Struct, rename="camel"):
    """What became of each, in order."""

    items: list[Begun]


class FinishUpload(Struct, rename="camel"):
    """Complete an upload, unless its bytes were staged before, and make an asset of it.

    ``kind`` is as in the catalog's routes, such as ``label-track``.
    """

    kind: str
    asset: RegisterAsset
    upload: CompleteUpload | None = None


class FinishUploads(Struct, rename="camel"):
    """Complete many uploads."""

    items: Annotated[list[FinishUpload], Meta(max_length=MAX_BATCH)]


class Finished(Struct, rename="camel"):
    """One that was made, and whether there was the same one already; or why not."""

    registered: Registered | None = None
    known: bool = False
    problem: Problem | None = None


class UploadsFinished(Struct, rename="camel"):
    """What became of each, in order."""

    items: list[Finished]


class AskStatuses(Struct, rename="camel"):
    """Ask how far assets are, of whatever kind."""

    ids: Annotated[list[ObjectId], Meta(max_length=1000)]


class Status(Struct, rename="camel"):
    """How far an asset is; ``progress`` from 0 to 1 while it is being processed."""

    id: str
    status: AssetStatus
    progress: float | None = None
    error: str | None = None


class Statuses(Struct, rename="camel"):
    """Those that exist."""

    items: list[Status]


class RunLambdas(Struct, rename="camel"):
    """Start the processing of many assets by their signed URLs."""

    urls: Annotated[list[str], Meta(max_length=MAX_BATCH)]
