"""What goes over the wire: the only definition of every request and answer, used by client and server.

JSON is camelCase. Unknown fields are ignored, because older and newer clients exist; wrong types are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from dreamlake.core.keys import Scope
from dreamlake.core.kinds import AUDIO, IMAGE, LABEL_TRACK, TEXT_TRACK, VIDEO
from dreamlake.core.parts import MAX_PARTS, CompletedPart

__all__ = [
    "MAX_BATCH", "METAS", "AskStatuses", "AssetCreated", "AssetFound", "AssetMeta", "AssetPage", "AssetsCreated",
    "AudioMeta", "BeginUploads", "Begun", "CompleteUpload", "CreateAsset", "CreateAssets", "CreateKey", "Created",
    "FinishUpload", "FinishUploads", "Finished", "Freed", "GcReport", "ImageMeta", "InitUpload", "KeyInfo", "KeyMade",
    "KeyPage", "LabelTrackMeta", "Me", "NewVersion", "Orphan", "OrphansFound", "PartDone", "PartsDone", "Problem",
    "RegisterAsset", "Registered", "Repaired", "RotateSigning", "RunLambdas", "SignParts", "SignedParts",
    "SigningRotated", "Status", "Statuses", "StreamedMeta", "Success", "TextTrackMeta", "TrackMeta", "UploadStarted",
    "UploadTarget", "UploadsBegun",
    "UploadsFinished", "VideoMeta",
]  # fmt: skip

# A plain $ would let a line break through at the end.
Hash16 = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$(?!\n)", description="the first 16 hex digits of the SHA-256")]
StagedHash = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{16}([0-9a-f]{48})?$(?!\n)", description="the name it is staged under: 16 or 64 hex digits"
    ),
]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="the full SHA-256, 64 hex digits")]
Slug = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$(?!\n)")]
ObjectId = Annotated[str, Meta(pattern=r"^[0-9a-f]{24}$(?!\n)")]
PartNumber = Annotated[int, Meta(ge=1, le=MAX_PARTS)]
Size = Annotated[int, Meta(ge=0, le=5 * 1024**4, description="bytes")]
Text = Annotated[str, Meta(min_length=1, max_length=1024)]

AssetStatus = Literal["uploaded", "processing", "ready", "failed"]


class Problem(Struct, rename="camel"):
    """An error as RFC 9457 problem details; ``requestId`` is what the server's log calls the request."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    request_id: str | UnsetType = UNSET


# -- uploads -------------------------------------------------------------------------------------------------------


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


class Success(Struct, rename="camel"):
    """It is done."""

    success: bool = True


# -- many at once: what the routes for one do, in one request and one transaction ----------------------------------

MAX_BATCH = 256


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


# -- assets of the storage service ---------------------------------------------------------------------------------


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


class AssetMeta(Struct, rename="camel", kw_only=True):
    """The sidecar ``meta.json`` of an asset: what the assets of all kinds have.

    Durations and times are in seconds, sizes in bytes and pixels. What belongs to one kind is None until the status is
    ready. ``progress`` (0 to 1) is only in answers, while the status is processing.
    """

    id: str
    owner: str
    project: str
    name: str
    status: AssetStatus
    hash: str
    sha256: str
    size: int
    created_at: str
    updated_at: str
    error: str | None = None
    progress: float | None = None


class StreamedMeta(AssetMeta, rename="camel", kw_only=True):
    """Of an asset that is cut into segments: the hashes of its playlists."""

    streams: list[str] = []


class VideoMeta(StreamedMeta, rename="camel", kw_only=True):
    """The sidecar ``{owner}/{project}/videos/{id}/meta.json``; the second of the streams is its sound by itself."""

    fps: float | None = None
    duration: float | None = None
    duration_sec: float | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    codec: str | None = None
    rotation: int | None = None
    has_audio: bool | None = None
    index: str | None = None


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


class AudioMeta(StreamedMeta, rename="camel", kw_only=True):
    """The sidecar ``{owner}/{project}/audio/{id}/meta.json``; the sample rate is in Hz."""

    duration: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    codec: str | None = None
    samples: int | None = None
    index: str | None = None


class ImageMeta(AssetMeta, rename="camel", kw_only=True):
    """The sidecar ``{owner}/{project}/images/{id}/meta.json``; the size is that of the picture as it is shown."""

    width: int | None = None
    height: int | None = None
    format: Literal["jpeg", "png", "webp"] | None = None


class TrackMeta(StreamedMeta, rename="camel", kw_only=True):
    """The sidecar of a label track or a text track (seed 3), in ``tracks/labels/{id}`` or ``tracks/text/{id}``.

    The frames are None where no entry has any, the times where there is no entry. ``fields`` are sorted, without those
    of time and frames. ``skipped_lines`` counts what could not be read and was left out, as its uploader wanted.
    """

    format: Literal["vtt", "srt", "jsonl", "csv"] | None = None
    entry_count: int | None = None
    start_time: float | None = None
    end_time: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    fields: list[str] = []
    skip_bad_lines: bool | UnsetType = UNSET
    skipped_lines: int | UnsetType = UNSET


class LabelTrackMeta(TrackMeta, rename="camel", kw_only=True):
    """The sidecar of a label track; ``label_id`` is what seed 3 calls its id."""

    label_id: str | UnsetType = UNSET


class TextTrackMeta(TrackMeta, rename="camel", kw_only=True):
    """The sidecar of a text track."""

    text_track_id: str | UnsetType = UNSET


class NewVersion(Struct, rename="camel"):
    """Give a track other bytes, unless it has others by now than those that they were made of.

    ``expected`` is the SHA-256 of these.
    """

    staging_hash: StagedHash
    expected: Sha256


METAS: dict[str, type[AssetMeta]] = {
    VIDEO.name: VideoMeta,
    AUDIO.name: AudioMeta,
    IMAGE.name: ImageMeta,
    LABEL_TRACK.name: LabelTrackMeta,
    TEXT_TRACK.name: TextTrackMeta,
}

M = TypeVar("M", bound=AssetMeta)


class AssetPage(Struct, Generic[M], rename="camel"):
    """One page of a listing, newest last; ``next_cursor`` asks for the next one."""

    items: list[M]
    next_cursor: str | None = None


# -- collecting what nothing refers to -----------------------------------------------------------------------------


class Freed(Struct, rename="camel"):
    """How many things went, and their size in bytes."""

    count: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """One more, with so many bytes."""
        self.count += 1
        self.size += size


class GcReport(Struct, rename="camel"):
    """What was deleted, or would have been: abandoned uploads, staged files that no asset is made of, chunks that no
    playlist names, objects of deleted assets, and temporary files of crashes. ``problems`` says what was left alone
    because something could not be read.
    """

    dry_run: bool
    uploads: Freed
    staged: Freed
    chunks: Freed
    leftovers: Freed
    temporary: Freed
    problems: list[str] = []


# -- the catalog ---------------------------------------------------------------------------------------------------


class CreateAsset(Struct, rename="camel", kw_only=True):
    """Give an asset of the storage service its name. Fields that are not named here are kept as metadata.

    ``project`` is the older name of ``space``; one of them is needed. ``replaces`` is the asset that has to be the
    newest one of that name until now; empty where there must be none.
    """

    namespace: Slug
    space: Slug = ""
    project: Slug | None = None
    name: Text
    episode_name: Slug | None = None
    bss_video_id: ObjectId | None = None
    bss_audio_id: ObjectId | None = None
    bss_image_id: ObjectId | None = None
    bss_label_id: ObjectId | None = None
    bss_text_track_id: ObjectId | None = None
    replaces: Annotated[str, Meta(pattern=r"^([0-9a-f]{24})?$(?!\n)")] | None = None

    def __post_init__(self) -> None:
        self.space = self.space or self.project or ""
        if not self.space:
            raise ValueError("Object missing required field `space`")


class AssetCreated(Struct, rename="camel"):
    """The catalog's records of an asset, and the signed URL that starts its processing."""

    id: str
    node_id: str
    project_id: str
    episode_id: str | None
    folder_id: str | None
    filename: str
    lambda_url: str | None


class CreateAssets(Struct, rename="camel"):
    """Give many assets their names; each is what ``POST /assets/{kind}`` takes, and its ``kind``."""

    items: Annotated[list[dict[str, Any]], Meta(max_length=MAX_BATCH)]


class Created(Struct, rename="camel"):
    """One that was created, or why not."""

    created: AssetCreated | None = None
    problem: Problem | None = None


class AssetsCreated(Struct, rename="camel"):
    """What became of each, in order."""

    items: list[Created]


class AssetFound(Struct, rename="camel"):
    """The asset at a path: where its bytes are, and what they are; the size in bytes."""

    url: str
    filename: str
    bss_id: str
    kind: str
    sha256: str
    size: int


class Me(Struct, rename="camel"):
    """Who the caller is: the namespace that is used when none is named, and what its key may do there."""

    namespace: str
    scope: Scope = "admin"
    key_id: str | None = None


class CreateKey(Struct, rename="camel"):
    """The body that makes an API key."""

    scope: Scope = "write"
    label: Annotated[str, Meta(max_length=100)] = ""
    namespace: str | None = None


class KeyInfo(Struct, rename="camel"):
    """An API key, without its secret; times in seconds since the epoch."""

    id: str
    namespace: str
    scope: Scope
    label: str
    created_at: float
    revoked_at: float | None = None


class KeyMade(KeyInfo, rename="camel", kw_only=True):
    """A key that was just made, with its text, which is not kept."""

    key: str


class KeyPage(Struct, rename="camel"):
    """Some keys, and where the next page begins; None after the last."""

    items: list[KeyInfo]
    next_cursor: str | None = None


class Orphan(Struct, rename="camel"):
    """An asset without a name, or a name without an asset: the asset's ObjectId, and where it is or was."""

    bss_id: str
    kind: str
    namespace: str
    space: str
    name: str


class OrphansFound(Struct, rename="camel"):
    """Where the storage service and the catalog disagree, some of each."""

    unnamed: list[Orphan]
    empty: list[Orphan]


class Repaired(Struct, rename="camel"):
    """How many assets were named, how many empty names were forgotten, and what could not be done."""

    named: int
    forgotten: int
    problems: list[str]


class RotateSigning(Struct, rename="camel"):
    """The body that has presigned URLs signed with a new key; ``at_once`` ends all that were given out."""

    at_once: bool = False


class SigningRotated(Struct, rename="camel"):
    """How many keys verify presigned URLs now."""

    keys: int


def decode_json(data: bytes, kind: Any) -> Any:
    """Read JSON into a struct; a thin door so that callers need no encoder of their own."""
    return msgspec.json.decode(data, type=kind)
