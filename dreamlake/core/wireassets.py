"""What goes over the wire about assets of the storage service: their sidecars, a struct for each kind."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from msgspec import UNSET, Struct, UnsetType

from dreamlake.core.kinds import AUDIO, IMAGE, LABEL_TRACK, TEXT_TRACK, VIDEO
from dreamlake.core.wire import AssetStatus

__all__ = [
    "METAS", "AssetMeta", "AssetPage", "AudioMeta", "ImageMeta", "LabelTrackMeta", "StreamedMeta", "TextTrackMeta",
    "TrackMeta", "VideoMeta",
]  # fmt: skip


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
