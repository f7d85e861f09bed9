"""The five kinds of asset, and all that follows from a kind (seeds 1, 2 and 4).

One table instead of a branch per kind: file extensions, the prefix of the resource id, the routes, the place in
the object store and the lambda that processes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

from dreamlake.errors import UnsupportedTypeError, UsageError

__all__ = [
    "AUDIO", "IMAGE", "KINDS", "LABEL_TRACK", "TEXT_TRACK", "VIDEO", "Kind", "content_type", "kind_named", "kind_of",
]  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One kind of asset.

    Attributes:
        name: as in the catalog's routes, ``POST /assets/{name}``.
        prefix: of its resource ids.
        route: of the storage service, ``POST /{route}``.
        folder: below ``{owner}/{project}/`` in the object store.
        id_field: the name of its ObjectId in requests, with ``bss`` before it in the catalog's.
        action: the lambda that processes it; None when it is ready as uploaded.
        phrase: for messages.
        extensions: extension to media type, of the files that are taken for this kind.
        forced: extension to media type, of the files that can be this kind when somebody says that they are.
    """

    name: str
    prefix: str
    route: str
    folder: str
    id_field: str
    action: str | None
    phrase: str
    extensions: dict[str, str] = field(compare=False, hash=False)
    forced: dict[str, str] = field(compare=False, hash=False, default_factory=dict)

    @property
    def bss_field(self) -> str:
        """The field of its ObjectId in the catalog's requests, such as ``bssVideoId``."""
        return "bss" + self.id_field[0].upper() + self.id_field[1:]


VIDEO = Kind(
    "video", "v", "videos", "videos", "videoId", "hls-split", "a video",
    {
        ".mp4": "video/mp4", ".mov": "video/quicktime", ".avi": "video/x-msvideo", ".mkv": "video/x-matroska",
        ".webm": "video/webm",
    },
    {".m4v": "video/mp4", ".ts": "video/mp2t"},
)  # fmt: skip
AUDIO = Kind(
    "audio", "a", "audio", "audio", "audioId", "audio-process", "an audio recording",
    {".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac", ".aac": "audio/aac", ".ogg": "audio/ogg"},
    # Containers of videos that hold sound alone, or whose sound is all that is wanted.
    {
        ".mp4": "audio/mp4", ".m4a": "audio/mp4", ".mov": "audio/mp4", ".mkv": "audio/x-matroska",
        ".webm": "audio/webm", ".oga": "audio/ogg", ".opus": "audio/ogg",
    },
)  # fmt: skip
IMAGE = Kind(
    "image", "i", "images", "images", "imageId", None, "an image",
    {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"},
)  # fmt: skip
LABEL_TRACK = Kind(
    "label-track", "lt", "labels", "tracks/labels", "labelId", "label-process", "a label track",
    {".jsonl": "application/x-ndjson", ".csv": "text/csv"},
)  # fmt: skip
TEXT_TRACK = Kind(
    "text-track", "tt", "text-tracks", "tracks/text", "textTrackId", "text-process", "a text track",
    {".vtt": "text/vtt", ".srt": "application/x-subrip"},
    {".jsonl": "application/x-ndjson"},
)  # fmt: skip

KINDS = (VIDEO, AUDIO, IMAGE, LABEL_TRACK, TEXT_TRACK)
_BY_EXTENSION = {extension: kind for kind in KINDS for extension in kind.extensions}


def kind_named(name: str) -> Kind:
    """The kind of asset with a name, such as ``text-track``.

    Raises:
        UsageError: no kind has that name.
    """
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise UsageError(f"{name!r} is not a type of asset: {', '.join(kind.name for kind in KINDS)}")


def kind_of(filename: str, wanted: Kind | None = None) -> Kind:
    """The kind of asset that a file's extension names, or the one that is wanted of it.

    Args:
        filename: of the file.
        wanted: the kind that somebody says it is, such as a text track for a ``.jsonl``.

    Raises:
        UnsupportedTypeError: no kind has that extension, or the kind that is wanted cannot have it.
    """
    extension = PurePath(filename).suffix.lower()
    if wanted is not None:
        if extension in wanted.extensions or extension in wanted.forced:
            return wanted
        known = " ".join([*wanted.extensions, *wanted.forced])
        raise UnsupportedTypeError(f"{filename}: cannot be {wanted.phrase} ({known})")
    kind = _BY_EXTENSION.get(extension)
    if kind is None:
        known = " ".join(_BY_EXTENSION)
        what = f"{extension!r} files are" if extension else "a file without an extension is"
        raise UnsupportedTypeError(f"{filename}: {what} not a type that Dreamlake knows ({known})")
    return kind


def content_type(kind: Kind, filename: str) -> str:
    """The media type of a file of this kind."""
    extension = PurePath(filename).suffix.lower()
    return kind.extensions.get(extension) or kind.forced.get(extension, "application/octet-stream")
