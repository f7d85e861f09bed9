"""Where things are: spaces, episodes, asset names and URIs.

The seeds write a space in two orders, and both hold where the seeds write them: ``space="robotics@alice"`` is
space@namespace in the SDK, ``--episode alice@robotics:run-042`` is namespace@space:episode in the CLI.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from dreamlake.core.ids import is_object_id, parse_resource_id
from dreamlake.core.kinds import KINDS, Kind
from dreamlake.errors import InvalidTargetError

__all__ = [
    "DEFAULT_SPACE", "AssetUri", "FileUri", "Space", "Target", "asset_name", "bss_uri", "check_name", "check_slug",
    "is_target", "join_path", "parse_episode", "parse_folder", "parse_source", "parse_space", "parse_target",
    "shown_database", "slugify",
]  # fmt: skip

DEFAULT_SPACE = "default"
MAX_SEGMENT_BYTES = 255
MAX_NAME_BYTES = 1024
_SHORT_ID = re.compile(r"[0-9a-f]{8,24}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Space:
    """A space of a namespace, and an episode in it; what is not named is None until the lake fills it in."""

    namespace: str | None
    space: str | None
    episode: str | None = None


@dataclass(frozen=True)
class Target:
    """An asset by its name: the space (and episode) it is in, and its absolute path there."""

    space: Space
    path: str


@dataclass(frozen=True)
class AssetUri:
    """An asset of a lake: ``bss://host/videos/{id}`` or a resource id.

    Attributes:
        kind: of the asset.
        object_id: 24 hex digits; from a URI also fewer, as the seeds write it, at least the first 8.
        host: of the lake; None for the lake in use, empty for the embedded one.
    """

    kind: Kind
    object_id: str
    host: str | None


@dataclass(frozen=True)
class FileUri:
    """A file outside of any lake: a plain path, ``file://``, ``s3://`` or ``https://``."""

    scheme: str
    location: str


def check_slug(text: str, what: str) -> str:
    """Return the name of a namespace, space or episode when it is one.

    Raises:
        InvalidTargetError: anything but letters, digits, ``.``, ``_`` and ``-``, or not 1 to 100 of them.
    """
    if not _SLUG.fullmatch(text):
        raise InvalidTargetError(
            f"{text!r} cannot name {what}: up to 100 letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    return text


def slugify(text: str) -> str:
    """The nearest valid name for free text, such as a login name with a space in it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:100] or "user"


def parse_space(text: str) -> Space:
    """Read ``robotics@alice`` (space@namespace) or ``robotics``, as the SDK's ``space=`` takes it."""
    space, at, namespace = text.partition("@")
    check_slug(space, "a space (space@namespace)")
    return Space(check_slug(namespace, "a namespace (space@namespace)") if at else None, space)


def parse_episode(text: str) -> Space:
    """Read ``alice@robotics:run-042`` (namespace@space:episode), ``robotics:run-042`` or ``run-042``."""
    head, colon, episode = text.rpartition(":")
    check_slug(episode, "an episode (namespace@space:episode)")
    if not colon:
        return Space(None, None, episode)
    namespace, at, space = head.rpartition("@")
    check_slug(space, "a space (namespace@space:episode)")
    return Space(check_slug(namespace, "a namespace (namespace@space:episode)") if at else None, space, episode)


def parse_target(text: str) -> Target:
    """Read ``alice@robotics:run-042//camera/front/run01.mp4`` (namespace@space:episode//path).

    The order is that of ``--episode``. What stands before the ``//`` may be left out: from the namespace on, from the
    episode on, or all of it.

    Raises:
        InvalidTargetError: anything else, such as a resource id, a URI or a local path.
    """
    head, slashes, path = text.partition("//")
    if not slashes:
        raise InvalidTargetError(f"{text!r} names no asset by its path: that is namespace@space:episode//path")
    if head.endswith(":"):
        raise InvalidTargetError(f"{text!r} is a URI, and a target is namespace@space:episode//path")
    rest, colon, episode = head.partition(":")
    namespace, at, space = rest.rpartition("@")
    what = "in a target (namespace@space:episode//path)"
    return Target(
        Space(
            check_slug(namespace, f"a namespace {what}") if at else None,
            check_slug(space, f"a space {what}") if head else None,
            check_slug(episode, f"an episode {what}") if colon else None,
        ),
        check_name(f"/{path}"),
    )


def is_target(text: str) -> bool:
    """Whether a text is meant as ``namespace@space:episode//path``, right or wrong."""
    return "//" in text and "://" not in text


def parse_folder(text: str) -> Target:
    """Read a target whose path may be left out: ``alice@robotics:run-042//camera``, ``alice@robotics//``.

    Raises:
        InvalidTargetError: as of ``parse_target``.
    """
    head, _, path = text.partition("//")
    path = path.rstrip("/")
    return parse_target(f"{head}//{path}") if path else Target(parse_target(f"{head}//root").space, "/")


def join_path(prefix: str, path: str | None) -> str:
    """A path below a prefix: relative paths are appended, absolute ones ignore the prefix (seed 1)."""
    if path is None:
        path = ""
    whole = path if path.startswith("/") else f"{prefix}/{path}"
    return "/" + "/".join(part for part in whole.split("/") if part)


def asset_name(folder: str, filename: str) -> str:
    """The full name of an uploaded file, such as ``/2026/04/run-042/camera/front/video.mp4``.

    Args:
        folder: the absolute path it was sent to. It names a folder, and the file's own name is appended; if its
            last part already carries the file's extension, it is the full name.
        filename: the file's own name.

    Raises:
        InvalidTargetError: a name that ``check_name`` refuses.
    """
    suffix = PurePosixPath(filename).suffix.lower()
    last = folder.rsplit("/", 1)[-1]
    if suffix and PurePosixPath(last).suffix.lower() == suffix:
        return check_name(folder)
    return check_name(f"{folder.rstrip('/')}/{filename}")


def check_name(name: str) -> str:
    """Return an asset's name in Unicode's normal form C when it is one.

    Raises:
        InvalidTargetError: not absolute, empty or dotted parts, control characters, a backslash, or too long.
    """
    name = unicodedata.normalize("NFC", name)
    parts = name.split("/")
    if parts[0] or len(parts) < 2 or any(part in ("", ".", "..") for part in parts[1:]):
        raise InvalidTargetError(f"{name!r} is not a name: it begins with '/' and has no empty, '.' or '..' part")
    if "\\" in name or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise InvalidTargetError(f"{name!r} is not a name: no backslash and no control character may be in it")
    if len(name.encode()) > MAX_NAME_BYTES or any(len(part.encode()) > MAX_SEGMENT_BYTES for part in parts):
        raise InvalidTargetError(
            f"{name[:60]!r}… is too long: {MAX_SEGMENT_BYTES} bytes a part, {MAX_NAME_BYTES} in all"
        )
    return name


def bss_uri(host: str, kind: Kind, object_id: str) -> str:
    """The URI of an asset: ``bss://localhost:10234/videos/{id}``; the embedded lake has no host, like file:///."""
    return f"bss://{host}/{kind.route}/{object_id}"


def shown_database(url: str) -> str:
    """The URL of a database without what is secret in it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "a database without a scheme"
    if scheme == "sqlite":
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{scheme}://…"
    # Where a password is not quoted as it must be, some of it is in what comes after the host.
    if "@" in parts.path + parts.query + parts.fragment or "\\" in rest:
        return f"{scheme}://…"
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def parse_source(text: str) -> AssetUri | FileUri:
    """Read whatever a user hands to ``load_video``: a resource id, a URI or a path.

    Text with a scheme is a URI; text that looks like an id is an id; everything else is a path.

    Raises:
        InvalidIdError: a malformed id.
        InvalidTargetError: a malformed or unknown URI.
    """
    scheme, colon, _ = text.partition("://")
    if not colon:
        if _looks_like_id(text):
            return AssetUri(*parse_resource_id(text), host=None)
        if is_object_id(text):
            raise InvalidTargetError(f"{text} is an ObjectId, which does not say of what: give the resource id (v-…)")
        if not text:
            raise InvalidTargetError("an empty text names nothing: give a resource id (v-…), a URI or a path")
        return FileUri("file", text)
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InvalidTargetError(f"{text!r}: {error}") from None
    if scheme == "bss":
        return _parse_bss(text, parts)
    if scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise InvalidTargetError(f"{text!r}: a file URI is file:///absolute/path")
        return FileUri("file", os.fsdecode(unquote_to_bytes(parts.path)))
    if scheme in ("s3", "http", "https"):
        if not parts.netloc:
            raise InvalidTargetError(f"{text!r} names no {'bucket' if scheme == 's3' else 'host'}")
        return FileUri(scheme, text)
    raise InvalidTargetError(f"{text!r}: {scheme}:// is not known here (bss:// file:// s3:// https://)")


def _looks_like_id(text: str) -> bool:
    """A known prefix and no trace of a path: ``v-typo`` is a malformed id, ``./v-typo`` and ``v-1.mp4`` are paths."""
    return any(text.startswith(f"{kind.prefix}-") for kind in KINDS) and not any(mark in text for mark in "/.\\")


def _parse_bss(text: str, parts: SplitResult) -> AssetUri:
    path = parts.path.strip("/").rsplit("/", 1)
    kind = next((kind for kind in KINDS if len(path) == 2 and kind.route == path[0]), None)
    if kind is None or parts.query or parts.fragment or "@" in parts.netloc:
        raise InvalidTargetError(f"{text!r}: a lake's URI is bss://host:port/videos/{{id}}")
    if not _SHORT_ID.fullmatch(path[1]):
        raise InvalidTargetError(f"{text!r}: an ObjectId has 24 hex digits, and its first 8 at least are needed")
    return AssetUri(kind, path[1], parts.netloc)
